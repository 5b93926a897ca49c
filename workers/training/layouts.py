"""Which layout a model is trained in: the fastest one that it has been seen to compute exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from workers.training.batches import Layout, lay_out
from workers.training.fast.attach import TOLERANCE, NotPackable, let_read_packs, make_faster
from workers.training.masks import MaskedRow

if TYPE_CHECKING:
    from workers.training.loss import TrainedTokenLoss

PREFIX, BRANCHES = 56, (3, 9, 6)
"""Lengths of the rows that a model is tried on: what they begin with alike, and what follows."""


@dataclass(frozen=True)
class Chosen:
    """A layout and why it was chosen, in words for people."""

    layout: Layout
    reason: str


def choose_layout(loss: TrainedTokenLoss) -> Chosen:
    """Let the model read packs and make it faster, where it can; return the layout that was seen to be exact."""
    (row,) = lay_out([(0, _row(0, BRANCHES[0]))], Layout.PACKED, token_budget=0)
    try:
        let_read_packs(loss, row)
    except NotPackable as why:
        chosen = Chosen(Layout.PADDED, f"this model reads rows only one by one, padded to a common length: {why}")
    else:
        chosen = _seen_to_be_exact(loss)
    make_faster(loss, row)
    return chosen


@torch.no_grad()
def _seen_to_be_exact(loss: TrainedTokenLoss) -> Chosen:
    """Compare what the model makes of rows that share a prefix, and of each alone."""
    rows = [(number, _row(number, length)) for number, length in enumerate(BRANCHES)]
    (pack,) = lay_out(rows, Layout.SHARED_PREFIX, token_budget=1 << 20)
    alone = torch.cat([_ends(loss, rows=[row], layout=Layout.PADDED) for row in rows])
    together = loss.states(pack)[pack.places]
    apart = float((together - alone).float().norm() / alone.float().norm())
    if apart > TOLERANCE[alone.dtype]:
        return Chosen(Layout.PADDED, "rows side by side change what this model computes, so each is padded to a common length")
    return Chosen(Layout.SHARED_PREFIX, "what rows of a step begin with alike is computed once, and nothing is padded")


def _ends(loss: TrainedTokenLoss, rows: list[tuple[int, MaskedRow]], layout: Layout) -> torch.Tensor:
    (batch,) = lay_out(rows, layout, token_budget=0)
    return loss.states(batch)[batch.places]


def _row(number: int, length: int) -> MaskedRow:
    """Return a row whose tokens after the prefix are trained: a different one for each number."""
    ids = np.concatenate([np.arange(PREFIX) % 7, (np.arange(length) * (3 + number) + number) % 11 + 7]).astype(np.int32)
    trained = np.arange(len(ids)) >= PREFIX
    return MaskedRow(ids, trained)
