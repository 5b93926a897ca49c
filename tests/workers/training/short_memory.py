"""An allocator with a limit, for a machine that has none: it counts what is kept for a gradient, and refuses what is too much."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from workers.training.batches import Batch
from workers.training.loss import TrainedTokenLoss


class Kept:
    """What is kept, in bytes."""

    def __init__(self, loss: TrainedTokenLoss, limit: float = float("inf")) -> None:
        self._known = {tensor.untyped_storage().data_ptr() for tensor in [*loss.body.parameters(), *loss.body.buffers(), loss.head.weight]}
        self._limit = limit
        self.bytes = 0

    def look(self, tensor: torch.Tensor) -> torch.Tensor:
        """Take a tensor that is kept; what goes beyond the limit is refused as a GPU does it."""
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._known:
            self._known.add(storage.data_ptr())
            self.bytes += storage.nbytes()
        if self.bytes > self._limit:
            message = "CUDA out of memory. Tried to allocate 2.00 GiB."
            raise torch.OutOfMemoryError(message)
        return tensor


@contextmanager
def counted(kept: Kept) -> Iterator[Kept]:
    """Count what is kept in a with block."""
    with torch.autograd.graph.saved_tensors_hooks(kept.look, lambda tensor: tensor):
        yield kept


def bytes_kept(loss: TrainedTokenLoss, batch: Batch) -> int:
    """Return what a batch keeps for its gradient."""
    with counted(Kept(loss)) as kept:
        held = loss.summed(batch)
    assert held.requires_grad
    return kept.bytes


def limit_memory(monkeypatch: pytest.MonkeyPatch, limit: float) -> None:
    """Let no batch keep more than `limit` bytes for its gradient."""
    true_sum = TrainedTokenLoss.summed

    def summed(self: TrainedTokenLoss, batch: Batch) -> torch.Tensor:
        with counted(Kept(self, limit)):
            return true_sum(self, batch)

    monkeypatch.setattr(TrainedTokenLoss, "summed", summed)
