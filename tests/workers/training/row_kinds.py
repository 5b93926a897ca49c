"""Rows that a layout could get wrong: each kind is one step's rows, of random tokens."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tests.workers.training.families import VOCABULARY, WINDOW
from workers.training.masks import MaskedRow

Tokens = NDArray[np.int32]
DRAW = np.random.default_rng(7)


def some(count: int) -> Tokens:
    """Draw `count` tokens, none of them one that models take for padding or an end."""
    return DRAW.integers(3, VOCABULARY, count, dtype=np.int32)


def row(*parts: tuple[Tokens, bool | Sequence[int]]) -> MaskedRow:
    """Put a row together from parts that are trained whole, not at all, or at some of their places."""
    masks = []
    for tokens, trained in parts:
        mask = np.full(len(tokens), trained is True)
        if not isinstance(trained, bool):
            mask[list(trained)] = True
        masks.append(mask)
    return MaskedRow(np.concatenate([tokens for tokens, _ in parts]).astype(np.int32), np.concatenate(masks))


def answer(prompt: Tokens, question: int = 4, length: int = 4) -> MaskedRow:
    """Return a row: the prompt, a question of its own, and a trained answer."""
    return row((prompt, False), (some(question), False), (some(length), True))


def plain() -> list[MaskedRow]:
    """Rows of many lengths that have nothing in common, some of them with several answers."""
    made = [row((some(length), False), (some(3), True), (some(2), False), (some(length % 5 + 1), True)) for length in (1, 4, 9, 17, 30)]
    return [*made, row((some(1), False), (some(12), True))]


def one_level() -> list[MaskedRow]:
    """Rows behind one prompt."""
    prompt = some(20)
    return [answer(prompt, question, length) for question, length in ((1, 1), (2, 5), (6, 3), (9, 2), (3, 7))]


def three_levels() -> list[MaskedRow]:
    """A system prompt, two documents, two questions to each, two answers to each of those; and a row that shares nothing."""
    system = some(12)
    made = []
    for document in (np.concatenate([system, some(length)]) for length in (7, 10)):
        for question in (np.concatenate([document, some(length)]) for length in (3, 5)):
            made += [row((question, False), (some(length), True)) for length in (2, 4)]
    return [*made, answer(some(6))]


def trained_inside() -> list[MaskedRow]:
    """A shared prefix with trained tokens in it, which some rows train, others not, and others in part."""
    turn, reply, again = some(8), some(5), some(6)
    shared: list[tuple[Tokens, bool]] = [(turn, False), (reply, True), (again, False)]
    masks: list[bool | Sequence[int]] = [True, False, (1, 4), True]
    return [*(row(shared[0], (reply, mask), shared[2], (some(3), True)) for mask in masks), row(*shared, (some(2), True))]


def several_next() -> list[MaskedRow]:
    """Answers that begin right behind the prompt: its last position predicts another token for each row, and one of them twice."""
    prompt, first = some(15), some(1)
    made = [row((prompt, False), (some(length), True)) for length in (1, 2, 3)]
    return [*made, row((prompt, False), (first, True), (some(2), True)), row((prompt, False), (first, True), (some(3), True))]


def identical() -> list[MaskedRow]:
    """A row four times, as epochs and small datasets bring it, and another one."""
    twin = answer(some(10))
    return [twin, twin, answer(some(10)), twin, twin]


def one_within_another() -> list[MaskedRow]:
    """Rows that end where others go on, with other tokens trained."""
    whole = some(24)
    ends = [(10, (8, 9)), (16, (9, 15)), (24, (20, 21, 23))]
    return [row((whole[:end], places)) for end, places in ends] + [row((whole[:16], False), (some(4), True))]


def beyond_the_window() -> list[MaskedRow]:
    """A prompt, questions and answers that are each longer than a sliding window."""
    prompt = some(3 * WINDOW)
    return [answer(prompt, 2 * WINDOW, 2 * WINDOW), answer(prompt, WINDOW + 1, WINDOW - 1), answer(prompt, 1, WINDOW)]


def one_token() -> list[MaskedRow]:
    """Rows of one trained token: alone, and behind a prompt that others share."""
    prompt = some(9)
    return [row((some(1), False), (some(1), True)), row((prompt, False), (some(1), True)), answer(prompt)]


def without_any() -> list[MaskedRow]:
    """Rows without a trained token among others, behind the same prompt; an empty one; one whose first token alone is marked."""
    prompt = some(9)
    silent = row((prompt, False), (some(3), False))
    return [answer(prompt), silent, row((some(1), True)), answer(prompt), row((some(1), True), (some(4), False))]


KINDS = [
    plain, one_level, three_levels, trained_inside, several_next, identical, one_within_another, beyond_the_window, one_token, without_any,
]  # fmt: skip
STEPS: dict[str, list[tuple[int, MaskedRow]]] = {kind.__name__: list(enumerate(kind())) for kind in KINDS}


def fifty_steps() -> list[list[tuple[int, MaskedRow]]]:
    """Draw the rows of fifty steps from some of these."""
    pool = [*one_level(), *plain(), *three_levels()]
    draw = np.random.default_rng(3)
    return [[(int(number), pool[number]) for number in draw.choice(len(pool), 6, replace=False)] for _ in range(50)]
