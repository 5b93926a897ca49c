"""The small operations between the products, each in as few passes over memory as torch allows, with gradients of states alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Sequence


def rotate(states: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Return queries or keys (T, H, D) turned by their positions: cos and sin are T, D (Su et al., arXiv 2104.09864, in halves)."""
    apply: Any = _Rotate.apply
    turned: torch.Tensor = apply(states, cos[:, None], sin[:, None])
    return turned


class _Rotate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, states: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(cos, sin)
        return _turned(states, cos, sin.chunk(2, -1), 1)

    @staticmethod
    def backward(ctx: Any, *outer: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        cos, sin = ctx.saved_tensors
        return _turned(outer[0], cos, sin.chunk(2, -1)[::-1], -1), None, None


def _turned(states: torch.Tensor, cos: torch.Tensor, sin: Sequence[torch.Tensor], way: int) -> torch.Tensor:
    """Return states turned one `way` (1) or back (-1); `sin` are the halves that the second and the first half are multiplied by."""
    turned = torch.empty_like(states)
    (one, two), (left, right), (first, second) = (whole.chunk(2, -1) for whole in (states, cos, turned))
    torch.mul(one, left, out=first).addcmul_(two, sin[0], value=-way)
    torch.mul(two, right, out=second).addcmul_(one, sin[1], value=way)
    return turned


def normalise(states: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
    """Return states (…, H) divided by their root mean square and times frozen weights (H; Zhang and Sennrich, arXiv 1910.07467)."""
    apply: Any = _Normalise.apply
    even: torch.Tensor = apply(states, weight, epsilon)
    return even


class _Normalise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, states: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
        length = torch.linalg.vector_norm(states, dim=-1, keepdim=True, dtype=torch.float32)
        factor = length.square_().div_(states.shape[-1]).add_(epsilon).rsqrt_()
        ctx.save_for_backward(states, weight, factor)
        # Weights in the states' type are multiplied in it, wider ones before the product is rounded: as the architectures have it.
        even: torch.Tensor = ((states * factor).to(weight.dtype) * weight).to(states.dtype)
        return even

    @staticmethod
    def backward(ctx: Any, *outer: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        states, weight, factor = ctx.saved_tensors
        gradient = outer[0] * weight.float()
        along = (gradient * states).sum(-1, keepdim=True).mul_(factor.square()).div_(-states.shape[-1])
        return gradient.addcmul_(states, along).mul_(factor).to(states.dtype), None, None


def gated(gate: torch.Tensor, up: torch.Tensor, kind: str) -> torch.Tensor:
    """Return activation(gate) times up (Shazeer, arXiv 2002.05202); the activation is computed again for the gradient."""
    apply: Any = _Gated.apply
    product: torch.Tensor = apply(gate, up, kind)
    return product


class _Gated(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate: torch.Tensor, up: torch.Tensor, kind: str) -> torch.Tensor:
        ctx.save_for_backward(gate, up)
        ctx.kind = kind
        return _activation(gate, kind).mul_(up)

    @staticmethod
    def backward(ctx: Any, *outer: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        gate, up = ctx.saved_tensors
        in_active = outer[0] * up
        if ctx.kind == "silu":
            in_gate = torch.ops.aten.silu_backward(in_active, gate)
        else:
            in_gate = torch.ops.aten.gelu_backward(in_active, gate, approximate="tanh")
        return in_gate, _activation(gate, ctx.kind).mul_(outer[0]), None


def _activation(gate: torch.Tensor, kind: str) -> torch.Tensor:
    return functional.silu(gate) if kind == "silu" else functional.gelu(gate, approximate="tanh")
