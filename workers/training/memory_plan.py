"""How much memory a step will take, before it takes it: what each kind of layer keeps for the gradient is counted on a few tokens.

Counted, not derived from a configuration: a formula would have to know every architecture, precision and faster path. The parts of a
model that are alike are looked at once, so it costs a few layers' forward pass over some eighty tokens.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from workers.training.batches import lay_out
from workers.training.masks import MaskedRow

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from workers.training.batches import Batch, Layout
    from workers.training.loss import TrainedTokenLoss

LENGTH = 16
SLACK = {"cpu": 1.4, "cuda": 1.1}
"""What an allocator holds beside what it was asked for: a CPU's keeps freed pieces to be fast (measured: docs/engine.md)."""
WORKING = {"cpu": 4.0, "cuda": 2.0}
"""What is in hand while a gradient is made, measured in what one layer keeps."""
BYTES_PER_LOGIT = 12
"""The logits of a chunk as they are made, in float32, and their gradient."""
BYTES_PER_HEAD_WEIGHT = 12
"""Of a head that is trained: its gradient in float32, a chunk's part of it, and what is handed on (workers/training/loss.py)."""


@dataclass(frozen=True)
class Load:
    """What is computed at once: tokens (padding and all), those of the longest row, and trained ones."""

    tokens: int
    longest: int
    targets: int

    @classmethod
    def of(cls, batch: Batch) -> Load:
        """Return the load that a batch is."""
        longest = batch.ids.shape[-1] if batch.plan is None else batch.plan.longest
        return cls(batch.computed, longest, len(batch.targets))


@dataclass(frozen=True)
class Kept:
    """Bytes kept for the gradient: a fixed part, one for each token, and one for each token it may look at."""

    fixed: float = 0.0
    token: float = 0.0
    seen: float = 0.0

    def of(self, load: Load) -> float:
        """Return the bytes for a load; that tokens see no more than the longest row is certain, often they see less."""
        return self.fixed + (self.token + self.seen * load.longest) * load.tokens

    @classmethod
    def through(cls, one: float, two: float, long: float) -> Kept:
        """Return what goes through three measured points: one row of LENGTH tokens, two of them, and one twice as long."""
        seen = max(0.0, (long - two) / (2 * LENGTH**2))
        token = max(0.0, (two - one) / LENGTH - seen * LENGTH)
        return cls(max(0.0, one - (token + seen * LENGTH) * LENGTH), token, seen)


@dataclass(frozen=True)
class Estimate:
    """What a step takes beyond what is held before it begins."""

    layers: tuple[Kept, ...]
    width: int
    """Bytes of one token's states: all that a layer keeps that is computed twice, and what is kept before and behind the layers."""
    logits: tuple[int, int]
    """For how many positions they are made at once, and the bytes for each."""
    fixed: int
    """Gradients, those of a trained head as they are formed, and a four-bit base's largest weight unpacked."""
    device: str = "cpu"

    def need(self, load: Load, twice: int) -> int:
        """Return the bytes for a load where the first `twice` layers are computed twice."""
        kept = sum(layer.of(load) for layer in self.layers[twice:]) + (twice + 2) * self.width * load.tokens
        working = WORKING[self.device] * max((layer.of(load) for layer in self.layers), default=0.0)
        positions, each = self.logits
        head = 2 * self.width * load.targets + min(positions, load.targets) * each
        return int(self.fixed + SLACK[self.device] * kept + working + head)

    def least(self, load: Load, room: int) -> int:
        """Return in how few layers results must be computed twice for a load to fit; all of them where it does not fit even so."""
        return next((count for count in range(len(self.layers)) if self.need(load, count) <= room), len(self.layers))


def estimate(loss: TrainedTokenLoss, layers: Sequence[torch.nn.Module], layout: Layout, trained: Sequence[torch.nn.Parameter]) -> Estimate:
    """Return the estimate for a model whose `layers` are the ones that can be computed twice; nothing of the model changes."""
    kinds = [_kind(loss, layer, place) for place, layer in enumerate(layers)]
    stop = _all_seen(kinds)
    found = [_kept_on(loss, layers[:stop], layers[stop] if stop < len(layers) else None, batch) for batch in _samples(layout)]
    by_place = [Kept.through(*points) for points in zip(*found, strict=True)]
    # The first layer reads what needs no gradient, so it keeps less; a later one speaks for its kind where there is one.
    of_kind = dict(zip(kinds[:stop], by_place, strict=True))
    unpacked = max((_unpacked_bytes(module) for module in loss.body.modules()), default=0)
    weight = loss.head.weight
    in_head = BYTES_PER_HEAD_WEIGHT * weight.numel() if loss.head.is_trained else 0
    return Estimate(
        layers=tuple(of_kind[kind] for kind in kinds),
        width=int(loss.config.hidden_size) * weight.element_size(),
        logits=(loss.head.chunk, loss.vocabulary * BYTES_PER_LOGIT),
        fixed=sum(p.numel() * p.element_size() for p in trained if p.grad is None) + in_head + 2 * unpacked,
        device=loss.device.type,
    )


def _kind(loss: TrainedTokenLoss, layer: torch.nn.Module, place: int) -> tuple[str, int, str]:
    """Return what makes layers alike: their class, their size, and how they attend."""
    attends = getattr(loss.config, "layer_types", None) or []
    return type(layer).__name__, sum(p.numel() for p in layer.parameters()), attends[place] if place < len(attends) else ""


def _all_seen(kinds: Sequence[tuple[str, int, str]]) -> int:
    """Return after how many layers each kind was seen, the first layer's once more if it comes again."""
    first = {kind: kinds.index(kind, 1) if kind in kinds[1:] else 0 for kind in kinds}
    return max(first.values(), default=-1) + 1


def _samples(layout: Layout) -> Iterator[Batch]:
    """Yield one row, two that have nothing in common, and one twice as long."""
    for lengths in ((LENGTH,), (LENGTH, LENGTH), (2 * LENGTH,)):
        rows = [
            (number, MaskedRow(((np.arange(length + 1) + number) % 11).astype(np.int32), np.ones(length + 1, dtype=np.bool_)))
            for number, length in enumerate(lengths)
        ]
        (batch,) = lay_out(rows, layout, token_budget=1 << 20)
        yield batch


class _Enough(Exception):
    """Everything that was to be seen was seen."""


def _kept_on(loss: TrainedTokenLoss, layers: Sequence[torch.nn.Module], beyond: torch.nn.Module | None, batch: Batch) -> list[int]:
    """Return what each of the layers keeps of a batch for its gradient."""
    known = {tensor.untyped_storage().data_ptr() for tensor in [*loss.body.parameters(), *loss.body.buffers()]}
    kept, where = [0] * (len(layers) + 1), [len(layers)]  # the last one: what is kept between them

    def look(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            known.add(storage.data_ptr())
            kept[where[0]] += storage.nbytes()
        return tensor

    with _watched(layers, beyond, where), torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(look, lambda tensor: tensor):
        try:
            states = loss.states(batch)  # held, so that what is kept is kept while it is counted
        except _Enough:
            pass
        else:
            del states
    return kept[:-1]


@contextmanager
def _watched(layers: Sequence[torch.nn.Module], beyond: torch.nn.Module | None, where: list[int]) -> Iterator[None]:
    """Write into `where` which of the layers is at work; stop before the layer `beyond`."""

    def enter(place: int) -> Any:
        return lambda *_: where.__setitem__(0, place)

    def enough(*_: Any) -> None:
        raise _Enough

    hooks = [layer.register_forward_pre_hook(enter(place)) for place, layer in enumerate(layers)]
    hooks += [layer.register_forward_hook(enter(len(layers))) for layer in layers]
    if beyond is not None:
        hooks.append(beyond.register_forward_pre_hook(enough))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _unpacked_bytes(module: torch.nn.Module) -> int:
    """Return what a four-bit layer's weight takes while it is multiplied; nothing of other layers."""
    state: Any = getattr(getattr(module, "weight", None), "quant_state", None)
    return 0 if state is None else state.shape.numel() * state.dtype.itemsize
