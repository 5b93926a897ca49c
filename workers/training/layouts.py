"""Which layout a model is trained in: the fastest one that it has been seen to compute exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from workers.training.batches import Layout, lay_out
from workers.training.fast.attach import FAULTS, NotPackable, agree, let_read_packs, make_faster, observe
from workers.training.forest import LEAST_SAVED
from workers.training.masks import MaskedRow
from workers.training.memory import as_out_of_memory
from workers.training.tokenizer import first_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from workers.training.batches import Batch
    from workers.training.loss import TrainedTokenLoss

PREFIX, BRANCHES = LEAST_SAVED + 1, (3, 9, 6)
"""Lengths of the rows that a model is tried on together: what they begin with alike, and what follows."""
SHARE_OF_ROUNDING = 0.05
"""So much of what a number format excuses may a row change with its neighbours; only in mixtures of experts does it change at all."""


@dataclass(frozen=True)
class Chosen:
    """A layout and why it was chosen, in words for people."""

    layout: Layout
    reason: str


def choose_layout(loss: TrainedTokenLoss) -> Chosen:
    """Let the model read packs and make it faster, where it can; return the layout that was seen to be exact."""
    (row,) = lay_out([(0, _row(0, 0, BRANCHES[1]))], Layout.PACKED, token_budget=0)
    calls = observe(loss, row)
    why = _why_it_fails(lambda: let_read_packs(loss, row, calls))
    make_faster(calls)
    why = why or _why_it_fails(lambda: _see_that_packs_are_exact(loss))
    if why:
        return Chosen(Layout.PADDED, f"this model reads rows only one by one, padded to a common length: {why}")
    return Chosen(Layout.SHARED_PREFIX, "what rows of a step begin with alike is computed once, and nothing is padded")


def _why_it_fails(attempt: Callable[[], None]) -> str | None:
    try:
        attempt()
    except NotPackable as why:
        return str(why)
    except FAULTS as error:
        if as_out_of_memory(error):
            raise
        return f"side by side they end in {type(error).__name__}: {first_line(error)}"
    return None


@torch.no_grad()
def _see_that_packs_are_exact(loss: TrainedTokenLoss) -> None:
    """Compare what the model makes of rows that share a prefix with what it makes of each alone; NotPackable where that differs."""
    rows = [(number, _row(number, PREFIX, length)) for number, length in enumerate(BRANCHES)]
    (pack,) = lay_out(rows, Layout.SHARED_PREFIX, token_budget=1 << 20)
    (below,) = lay_out(rows, Layout.PADDED, token_budget=1 << 20)
    together, alone = _by_row(loss, pack), _by_row(loss, below)
    if not all(agree(together[number], alone[number]) for number, _ in rows) or _rows_see_each_other(loss, together):
        raise NotPackable("side by side they change what it computes")


def _rows_see_each_other(loss: TrainedTokenLoss, together: dict[int, torch.Tensor]) -> bool:
    """Say whether the first row, or the last one, changes with what stands in the others: in few bits rounding would hide a small leak.

    Shapes stay as they are, so what is rounded here is rounded there too.
    """
    for kept in (0, len(BRANCHES) - 1):
        rows = [(number, _row(number, PREFIX, length, other=number != kept)) for number, length in enumerate(BRANCHES)]
        (pack,) = lay_out(rows, Layout.SHARED_PREFIX, token_budget=1 << 20)
        if not agree(_by_row(loss, pack)[kept], together[kept], SHARE_OF_ROUNDING):
            return True
    return False


def _by_row(loss: TrainedTokenLoss, batch: Batch) -> dict[int, torch.Tensor]:
    states = loss.states(batch)[batch.places.to(loss.device)]
    return dict(zip(batch.rows, states.split(batch.counts), strict=True))


def _row(number: int, prefix: int, length: int, *, other: bool = False) -> MaskedRow:
    """Return a row whose tokens after the prefix are trained: a different one for each number, or another that begins alike."""
    ids = np.concatenate([np.arange(prefix) % 7, (np.arange(length) * (3 + number + other) + number) % 11 + 7]).astype(np.int32)
    return MaskedRow(ids, np.arange(len(ids)) >= prefix)
