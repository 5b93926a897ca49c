"""Rows laid out to be computed at once: what one forward pass reads, and where the tokens it must predict stand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch

from workers.training.forest import LEAST_SAVED, Segment, alike, grow, in_order
from workers.training.plan import AttentionPlan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from workers.training.masks import MaskedRow

    Numbered = Sequence[tuple[int, MaskedRow]]

Thing = TypeVar("Thing")
TOKENS_AT_ONCE = {"cpu": 4_096, "cuda": 16_384}
"""Tokens computed at once where nobody says how many rows: enough to fill the processor, little enough to fit."""
NEVER = 1 << 62
EVEN, FROM = 32, 256
"""Packs of `FROM` tokens or more are filled up to a multiple of `EVEN`: products of a shape not seen before cost a tenth more, and
oneDNN keeps what it has made for each (measured: docs/engine.md)."""


class Layout(StrEnum):
    """How the rows of a step are laid out; none changes what the step comes to."""

    SHARED_PREFIX = "shared_prefix"
    """What rows begin with alike stands once, and each row is a branch that goes on from there."""
    PACKED = "packed"
    """Rows side by side without padding, each attended by itself alone."""
    PADDED = "padded"
    """Rows of like length one below the other, padded at the end: the reference, which every model can read."""


@dataclass(frozen=True)
class Batch:
    """What one forward pass reads. `places` index its positions flattened: one for each trained token, which stands behind it."""

    rows: tuple[int, ...]
    ids: torch.Tensor  # B, L; packed: 1, T
    places: torch.Tensor  # N: a position comes several times where several rows go on from it
    targets: torch.Tensor  # N: the trained tokens, row after row
    counts: tuple[int, ...]
    """How many of them are each row's."""
    tokens: int
    """Of all the rows, counted one by one; what is shared counts in each, padding in none."""
    positions: torch.Tensor | None = None  # 1, T: where each token stands in its row; None where that is its column
    plan: AttentionPlan | None = None
    """Who attends to whom; None for padded rows."""

    @property
    def computed(self) -> int:
        """Return how many tokens the model computes, padding and all."""
        return self.ids.numel()

    def unplanned(self) -> Batch:
        """Return a pack of one row as a model reads it without a plan."""
        return replace(self, plan=None, positions=None)

    def forget(self) -> None:
        """Let go of what was only needed while it was computed."""
        if self.plan is not None:
            self.plan.forget()


def lay_out(rows: Numbered, layout: Layout, *, token_budget: int, size: int | None = None) -> list[Batch]:
    """Lay rows out in batches of at most `size` rows and `token_budget` computed tokens; a longer row is a batch of its own.

    Rows without a trained token are left out: they add nothing to the step.
    """
    trained = [(number, row) for number, row in rows if row.trained[1:].any()]
    if layout is Layout.PADDED:
        return [_padded(group) for group in _by_length(trained, token_budget, size)]
    least = LEAST_SAVED if layout is Layout.SHARED_PREFIX else NEVER
    return [batch for group in _in_packs(trained, layout, token_budget, size) for batch in _fitting(group, least, token_budget)]


def in_parts(things: Sequence[Thing], parts: int, tokens_of: Callable[[Thing], int]) -> list[Sequence[Thing]]:
    """Return rows or batches in so many parts of about as many tokens each: the longest first, each to the part that has fewest."""
    if parts == 1:
        return [things]
    found: list[list[Thing]] = [[] for _ in range(parts)]
    tokens = [0] * parts
    for thing in sorted(things, key=tokens_of, reverse=True):
        place = tokens.index(min(tokens))
        found[place].append(thing)
        tokens[place] += tokens_of(thing)
    return list(found)


def _by_length(rows: Numbered, token_budget: int, size: int | None) -> list[Numbered]:
    groups: list[list[tuple[int, MaskedRow]]] = []
    for entry in sorted(rows, key=lambda entry: len(entry[1].ids)):
        room = size if size is not None else max(1, token_budget // len(entry[1].ids))
        if not groups or len(groups[-1]) >= room:
            groups.append([])
        groups[-1].append(entry)
    return list(groups)


def _in_packs(rows: Numbered, layout: Layout, token_budget: int, size: int | None) -> Iterator[Numbered]:
    """Yield groups of rows: those that begin alike together, or as they come."""
    read = [_read(row) for _, row in rows]
    if layout is Layout.SHARED_PREFIX:
        order = in_order(read)
        common = alike(read, order)
    else:
        order, common = list(range(len(rows))), [0] * len(rows)
    group, tokens = list[tuple[int, "MaskedRow"]](), 0
    for place, number in enumerate(order):
        more = len(read[number]) - (common[place] if common[place] >= LEAST_SAVED else 0)
        if group and (tokens + more > token_budget or len(group) == size):
            yield group
            group, more, tokens = [], len(read[number]), 0
        group.append(rows[number])
        tokens += more
    if group:
        yield group


def _fitting(group: Numbered, least: int, token_budget: int) -> Iterator[Batch]:
    """Yield a group as a pack, or in halves: what only some of its rows share may save too little to be shared."""
    batch = _packed(group, least)
    if len(group) == 1 or batch.computed <= max(token_budget, EVEN):
        yield batch
        return
    for half in (group[: len(group) // 2], group[len(group) // 2 :]):
        yield from _fitting(half, least, token_budget)


def _packed(group: Numbered, least: int) -> Batch:
    read = [_read(row) for _, row in group]
    forest = grow(read, least=least)
    segments = [*forest.segments, *_filling(forest.tokens)]
    ids = np.zeros(segments[-1].end, dtype=np.int64)
    for segment in forest.segments:
        ids[segment.start : segment.end] = read[segment.row][segment.position : segment.position + segment.length]
    places = [forest.places(index)[row.trained[1:]] for index, (_, row) in enumerate(group)]
    return _batch(group, ids[None], np.concatenate(places), plan=AttentionPlan.of(segments))


def _filling(tokens: int) -> list[Segment]:
    """Return a segment of tokens that belong to no row, whom nobody sees, if the pack is to be filled up."""
    end = -(-tokens // EVEN) * EVEN
    return [Segment(tokens, end, 0, row=-1, parent=-1, reach=end)] if FROM <= tokens < end else []


def _padded(group: Numbered) -> Batch:
    longest = max(len(row.ids) for _, row in group) - 1
    ids = np.zeros((len(group), longest), dtype=np.int64)
    predicts = np.zeros((len(group), longest), dtype=np.bool_)
    for index, (_, row) in enumerate(group):
        ids[index, : len(row.ids) - 1] = _read(row)
        predicts[index, : len(row.ids) - 1] = row.trained[1:]
    return _batch(group, ids, predicts.reshape(-1).nonzero()[0])


def _batch(
    group: Numbered, ids: NDArray[np.int64], places: NDArray[np.int64], *, plan: AttentionPlan | None = None
) -> Batch:  # fmt: skip
    targets = np.concatenate([row.ids[1:][row.trained[1:]] for _, row in group]).astype(np.int64)
    return Batch(
        rows=tuple(number for number, _ in group),
        ids=torch.from_numpy(ids),
        places=torch.from_numpy(places),
        targets=torch.from_numpy(targets),
        counts=tuple(int(row.trained[1:].sum()) for _, row in group),
        tokens=sum(len(row.ids) - 1 for _, row in group),
        positions=None if plan is None else plan.positions[None],
        plan=plan,
    )


def _read(row: MaskedRow) -> NDArray[np.int32]:
    """Return what the model reads of a row: the last token predicts nothing."""
    return row.ids[:-1]
