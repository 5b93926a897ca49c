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
    from workers.training.batches import Batch
    from workers.training.loss import TrainedTokenLoss

PREFIX, BRANCHES = LEAST_SAVED + 1, (3, 9, 6)
"""Lengths of the rows that a model is tried on together: what they begin with alike, and what follows."""


@dataclass(frozen=True)
class Chosen:
    """A layout and why it was chosen, in words for people."""

    layout: Layout
    reason: str


def choose_layout(loss: TrainedTokenLoss) -> Chosen:
    """Let the model read packs and make it faster, where it can; return the layout that was seen to be exact."""
    (row,) = lay_out([(0, _row(0, 0, BRANCHES[1]))], Layout.PACKED, token_budget=0)
    calls = observe(loss, row)
    try:
        let_read_packs(loss, row, calls)
        make_faster(calls)
        is_exact = _is_exact(loss)
    except NotPackable as why:
        make_faster(calls)
        return _row_by_row(str(why))
    except FAULTS as error:
        if as_out_of_memory(error):
            raise
        make_faster(calls)
        return _row_by_row(f"side by side they end in {type(error).__name__}: {first_line(error)}")
    if not is_exact:
        return Chosen(Layout.PADDED, "rows side by side change what this model computes, so each is padded to a common length")
    return Chosen(Layout.SHARED_PREFIX, "what rows of a step begin with alike is computed once, and nothing is padded")


def _row_by_row(why: str) -> Chosen:
    return Chosen(Layout.PADDED, f"this model reads rows only one by one, padded to a common length: {why}")


@torch.no_grad()
def _is_exact(loss: TrainedTokenLoss) -> bool:
    """Compare what the model makes of rows that share a prefix with what it makes of each alone."""
    rows = [(number, _row(number, PREFIX, length)) for number, length in enumerate(BRANCHES)]
    (pack,) = lay_out(rows, Layout.SHARED_PREFIX, token_budget=1 << 20)
    (below,) = lay_out(rows, Layout.PADDED, token_budget=1 << 20)
    together, alone = _by_row(loss, pack), _by_row(loss, below)
    return all(agree(together[number], alone[number]) for number, _ in rows)


def _by_row(loss: TrainedTokenLoss, batch: Batch) -> dict[int, torch.Tensor]:
    states = loss.states(batch)[batch.places.to(loss.device)]
    return dict(zip(batch.rows, states.split(batch.counts), strict=True))


def _row(number: int, prefix: int, length: int) -> MaskedRow:
    """Return a row whose tokens after the prefix are trained: a different one for each number."""
    ids = np.concatenate([np.arange(prefix) % 7, (np.arange(length) * (3 + number) + number) % 11 + 7]).astype(np.int32)
    return MaskedRow(ids, np.arange(len(ids)) >= prefix)
