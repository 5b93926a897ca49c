"""How programs spell rows of well-known shapes: what stands, byte by byte, before each text of such a row, and behind the last.

Since a bare quote ends a text, a row with these bytes around its texts is that row and no other: no JSON parser would read it differently.
"""

from __future__ import annotations

import json
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from app.domain.datasets import DatasetFormat

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Numbers = NDArray[np.int64]

# Compiled code is kept until plain_rows.py changes: whoever changes one of these numbers, or a field of Grammar, changes that file too.
SYSTEM, USER, ASSISTANT, ADDED = range(4)
"""Who says a text; what is added to a question belongs to it."""
ROLES = ("system", "user", "assistant")
SPOKEN_AS = {"system": SYSTEM, "user": USER, "human": USER, "assistant": ASSISTANT, "gpt": ASSISTANT}
TALKS = {
    ("messages", "role", "content"): DatasetFormat.CHAT,
    ("conversations", "from", "value"): DatasetFormat.SHAREGPT,
}
FLATS = {
    ("instruction", "input", "output"): DatasetFormat.ALPACA,
    ("instruction", "output"): DatasetFormat.ALPACA,
    ("prompt", "completion"): DatasetFormat.PROMPT_COMPLETION,
    ("prompt", "response"): DatasetFormat.PROMPT_COMPLETION,
}
"""Names in the order of a conversation, in which few files have them."""
STYLES = ((", ", ": "), (",", ":"))
END = NOBODY = NEXT = -1


class Grammar(NamedTuple):
    """What may stand where, as numbers that compiled code follows.

    The literals of step `s` are those from `steps[s]` to `steps[s + 1]`, and literal `l` is `spelt[bounds[l]:bounds[l + 1]]`. Behind it
    stands a text that is said by `roles[l]` (`NOBODY`: no text), as the row's text number `places[l]` (`NEXT`: after the last one), and
    then what step `then[l]` has (`END`: nothing more).
    """

    spelt: Bytes
    bounds: Numbers
    steps: Numbers
    then: Numbers
    roles: Numbers
    places: Numbers


class Layout(NamedTuple):
    """A way to spell rows of one shape, which have these names."""

    shape: DatasetFormat
    names: tuple[str, ...]
    grammar: Grammar

    def begins(self, line: bytes) -> bool:
        """Whether a line begins as such a row does."""
        spelt, bounds = self.grammar.spelt.tobytes(), self.grammar.bounds
        return any(line.startswith(spelt[bounds[at] : bounds[at + 1]]) for at in range(self.grammar.steps[1]))


class _Literal(NamedTuple):
    spelt: str
    then: int = END
    role: int = NOBODY
    place: int = NEXT


def layout_of(line: bytes) -> Layout | None:
    """Return the layout of a row by its names, their order, and the space between them; None where it is none of these."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    layouts = [_layout(row, *style) for style in STYLES] if isinstance(row, dict) and row else []
    return next((layout for layout in layouts if layout and layout.begins(line)), None)


def _layout(row: dict[str, object], comma: str, colon: str) -> Layout | None:
    names = tuple(row)
    in_order = next((each for each in FLATS if set(each) == set(names)), None)
    if in_order:
        return Layout(FLATS[in_order], names, _flat(names, in_order, comma, colon))
    turns = row[names[0]] if len(names) == 1 else None
    turn = turns[0] if isinstance(turns, list) and turns else None
    words = (*names, *turn) if isinstance(turn, dict) else ()
    return Layout(TALKS[words], names, _talk(words, comma, colon)) if words in TALKS else None


def _talk(words: Sequence[str], comma: str, colon: str) -> Grammar:
    """Return how a list of turns is spelt: its head, and turns until it ends."""
    turns, speaker, text = words
    head, turn = f'{{"{turns}"{colon}[', f'{{"{speaker}"{colon}"'
    spoken = [_Literal(f'{said}"{comma}"{text}"{colon}"', 2, role) for said, role in SPOKEN_AS.items()]
    return _grammar([[_Literal(head + turn, 1)], spoken, [_Literal(f'"}}{comma}{turn}', 1), _Literal('"}]}\n')]])


def _flat(names: Sequence[str], in_order: Sequence[str], comma: str, colon: str) -> Grammar:
    """Return how texts under names are spelt, one after another."""
    roles = [USER, *[ADDED] * (len(names) - 2), ASSISTANT]
    steps = []
    for step, name in enumerate(names):
        before, place = f'"{comma}' if step else "{", in_order.index(name)
        steps.append([_Literal(f'{before}"{name}"{colon}"', step + 1, roles[place], place)])
    return _grammar([*steps, [_Literal('"}\n')]])


def _grammar(steps: list[list[_Literal]]) -> Grammar:
    literals = [literal for step in steps for literal in step]
    spelt = [literal.spelt.encode() for literal in literals]
    return Grammar(
        spelt=np.frombuffer(b"".join(spelt), np.uint8),
        bounds=_numbers(accumulate(map(len, spelt), initial=0)),
        steps=_numbers(accumulate(map(len, steps), initial=0)),
        then=_numbers(literal.then for literal in literals),
        roles=_numbers(literal.role for literal in literals),
        places=_numbers(literal.place for literal in literals),
    )


def _numbers(given: Iterable[int]) -> Numbers:
    return np.fromiter(given, np.int64)
