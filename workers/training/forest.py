"""Rows of a step as a forest: what rows begin with alike is held once, and each row is a branch that goes on from there.

Numbers alone, without torch: the preflight asks the same code how many of a dataset's tokens are shared.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from workers.training.order import DataOrder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Ids = NDArray[np.int32]

LEAST_SAVED = 48
"""Tokens that a shared part must save to be worth another call of the attention (measured: docs/engine.md)."""
STEPS_SEEN = 16
"""Steps that are looked at to tell which share of a dataset's tokens is shared."""


@dataclass
class Segment:
    """Tokens that stand once, from `start` to `end` of the pack; what goes on from them stands behind them, as far as `reach`."""

    start: int
    end: int
    position: int
    """Where its first token stands in its rows."""
    row: int
    """One of these rows."""
    parent: int
    """The segment it goes on from; -1 for none."""
    reach: int

    @property
    def length(self) -> int:
        """Return how many tokens it holds."""
        return self.end - self.start


@dataclass(frozen=True)
class Forest:
    """The segments in depth-first order, and for each row the one that it ends in (-1 for a row without tokens)."""

    segments: list[Segment]
    last: dict[int, int]

    @property
    def tokens(self) -> int:
        """Return how many tokens are computed."""
        return self.segments[-1].end if self.segments else 0

    def places(self, row: int) -> NDArray[np.int64]:
        """Return where each token of a row stands in the pack."""
        parts: list[NDArray[np.int64]] = [np.zeros(0, dtype=np.int64)]
        number = self.last[row]
        while number >= 0:
            segment = self.segments[number]
            parts.append(np.arange(segment.start, segment.end))
            number = segment.parent
        return np.concatenate(parts[::-1])


def in_order(rows: Sequence[Ids]) -> list[int]:
    """Return the places of the rows, those that begin alike side by side."""
    keys = [row.astype(">u4").tobytes() for row in rows]
    return sorted(range(len(rows)), key=keys.__getitem__)


def alike(rows: Sequence[Ids], order: Sequence[int]) -> list[int]:
    """Return with how many tokens each row, in order, begins like the one before it; 0 for the first."""
    return [0, *(_common(rows[left], rows[right]) for left, right in pairwise(order))]


def grow(rows: Sequence[Ids], *, least: int = LEAST_SAVED) -> Forest:
    """Return the forest of some rows; a part is held once where that saves at least `least` tokens (and one)."""
    order = in_order(rows)
    common = alike(rows, order)
    forest = Forest([], {})
    # Groups of rows (from, to) whose first `depth` tokens stand in the forest already, as far as the segment `parent`.
    waiting = [(0, len(order), 0, -1)] if order else []
    while waiting:
        low, high, depth, parent = waiting.pop()
        is_single = high - low == 1
        shared = len(rows[order[low]]) if is_single else min(common[low + 1 : high])
        if shared > depth and (is_single or (high - low - 1) * (shared - depth) >= least):
            start = forest.tokens
            forest.segments.append(Segment(start, start + shared - depth, depth, order[low], parent, reach=0))
            depth, parent = shared, len(forest.segments) - 1
        if is_single:
            forest.last[order[low]] = parent
            continue
        borders = [low, *(place for place in range(low + 1, high) if common[place] == shared), high]
        waiting += [(left, right, depth, parent) for left, right in pairwise(borders)][::-1]
    for segment in reversed(forest.segments):
        segment.reach = max(segment.reach, segment.end)
        if segment.parent >= 0:
            forest.segments[segment.parent].reach = max(forest.segments[segment.parent].reach, segment.reach)
    return forest


def shared_share(rows: Sequence[Ids], batch_size: int, seed: int) -> float:
    """Return which share of the tokens need not be computed because rows of one step begin with them alike, 0 to 1."""
    if not rows:
        return 0.0
    order = DataOrder.over(len(rows), batch_size=batch_size, seed=seed, epochs=1)
    steps = -(-len(rows) // batch_size)
    seen = sorted({round(number) for number in np.linspace(1, steps, min(steps, STEPS_SEEN))})
    total = computed = 0
    for number in seen:
        step = [rows[row][:-1] for row in order.step(number)]
        computed += grow(step).tokens
        total += sum(map(len, step))
    return 1 - computed / total if total else 0.0


def _common(left: Ids, right: Ids) -> int:
    length = min(len(left), len(right))
    differ = np.flatnonzero(left[:length] != right[:length])
    return int(differ[0]) if len(differ) else length
