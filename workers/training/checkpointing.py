"""Gradient checkpointing layer by layer: the first k layers keep only what they were given, and are computed again for the gradient.

The first ones, because their turn comes last on the way back: what the others kept is gone by then, so computing again adds nothing
to the peak (Chen et al., arXiv 1604.06174). The gradient is the same.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer

if TYPE_CHECKING:
    from collections.abc import Callable


class Checkpointing:
    """Which of a model's layers are computed twice; evaluation and generation, which need no gradient, are as they were."""

    def __init__(self, body: torch.nn.Module, *, draws: bool) -> None:
        """Look for the layers of a model's body; `draws` says that dropout draws random numbers in them."""
        self.layers = _outermost(body)
        self.count = 0
        self._own = [layer.forward for layer in self.layers]
        self._draws = draws

    def compute_twice(self, count: int) -> None:
        """Compute the first `count` layers twice, or all there are."""
        self.count = min(count, len(self.layers))
        for place, (layer, own) in enumerate(zip(self.layers, self._own, strict=True)):
            forward: Any = _twice(own, draws=self._draws) if place < self.count else own
            layer.forward = forward


def _outermost(body: torch.nn.Module) -> list[torch.nn.Module]:
    """Return a model's layers from the first to the last; parts of them may be able to do the same."""
    if isinstance(body, GradientCheckpointingLayer):
        return [body]
    return [layer for child in body.children() for layer in _outermost(child)]


def _twice(own: Callable[..., Any], *, draws: bool) -> Callable[..., Any]:
    # A layer's own switch for this also asks for training mode, in which some architectures begin to drop out by themselves.
    @functools.wraps(own)
    def forward(*args: Any, **named: Any) -> Any:
        if not torch.is_grad_enabled():
            return own(*args, **named)
        return checkpoint(own, *args, use_reentrant=False, preserve_rng_state=draws, **named)

    return forward
