"""Frozen linear layers with LoRA beside them, as one operation: one product for all their A matrices, nothing kept but the input.

y = x W' + s (x A') B' (Hu et al., arXiv 2106.09685). Layers that read the same input (query, key and value; gate and up) go
together: the gradient of their input is summed inside the products. Four-bit weights are unpacked for each pass and not kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from bitsandbytes.nn.modules import Linear4bit
from peft.tuners.lora import Linear as LoraLinear
from peft.tuners.lora.bnb import Linear4bit as LoraLinear4bit
from torch.nn import functional

from workers.training.nf4 import unpacked

if TYPE_CHECKING:
    from collections.abc import Sequence

ADAPTER = "default"
ADAPTED = (LoraLinear, LoraLinear4bit)


@dataclass(frozen=True)
class Layer:
    """A frozen layer (O, I) with its adapter: A (R, I) and B (O, R), float32."""

    base: torch.nn.Linear
    a: torch.nn.Parameter
    b: torch.nn.Parameter
    scaling: float

    @classmethod
    def of(cls, module: torch.nn.Module) -> Layer | None:
        """Return a layer that peft holds; None where it does more than plain LoRA, or another kind of layer is under it."""
        if not isinstance(module, ADAPTED) or list(module.lora_A) != [ADAPTER]:
            return None
        base = module.get_base_layer()
        if type(base) is not torch.nn.Linear and not isinstance(base, Linear4bit):
            return None
        has_dropout = not isinstance(module.lora_dropout[ADAPTER], torch.nn.Identity)
        # DoRA is a variant, as are others that small numbers might not show.
        if has_dropout or module.lora_variant.get(ADAPTER) or module.fan_in_fan_out or module.lora_bias.get(ADAPTER):
            return None
        a, b = (parts[ADAPTER].get_parameter("weight") for parts in (module.lora_A, module.lora_B))
        return cls(base, a, b, module.scaling[ADAPTER])

    def weight(self, dtype: torch.dtype) -> torch.Tensor:
        """Return the frozen weights (O, I)."""
        weight: Any = self.base.weight
        return unpacked(weight, weight.quant_state, dtype) if isinstance(self.base, Linear4bit) else weight

    def bias(self, dtype: torch.dtype) -> torch.Tensor | None:
        """Return the frozen bias (O), if there is one."""
        held: torch.Tensor | None = self.base.bias
        return None if held is None else held.to(dtype)


def project(states: torch.Tensor, layers: Sequence[Layer]) -> tuple[torch.Tensor, ...]:
    """Return what each of the layers makes of the same states (…, I): (…, O) each."""
    apply: Any = _Project.apply
    flat = states.reshape(-1, states.shape[-1])
    made = apply(flat, tuple(layers), *(weight for layer in layers for weight in (layer.a, layer.b)))
    return tuple(one.view(*states.shape[:-1], one.shape[-1]) for one in made)


class _Project(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, states: torch.Tensor, layers: tuple[Layer, ...], *adapters: torch.Tensor) -> tuple[torch.Tensor, ...]:
        dtype = states.dtype
        down = torch.cat([a.to(dtype) for a in adapters[::2]])  # R, I for all layers
        up = [b.to(dtype) * layer.scaling for layer, b in zip(layers, adapters[1::2], strict=True)]  # O, R each
        inner = states @ down.T  # T, R
        parts = inner.split([b.shape[1] for b in up], 1)
        made = []
        for layer, part, b in zip(layers, parts, up, strict=True):
            whole = functional.linear(states, layer.weight(dtype), layer.bias(dtype))
            made.append(whole.addmm_(part, b.T))
        ctx.save_for_backward(states, inner, down, *up)
        ctx.layers = layers
        return tuple(made)

    @staticmethod
    def backward(ctx: Any, *outer: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        states, inner, down, *up = ctx.saved_tensors
        layers: tuple[Layer, ...] = ctx.layers
        in_inner = torch.empty_like(inner)
        found: list[torch.Tensor | None] = []
        start = 0
        for layer, gradient, b in zip(layers, outer, up, strict=True):
            part = slice(start, start + b.shape[1])
            start = part.stop
            in_inner[:, part] = gradient @ b
            found += [None, (gradient.T @ inner[:, part]).float().mul_(layer.scaling)]
        in_down = in_inner.T @ states
        found[::2] = in_down.float().split([b.shape[1] for b in up])
        in_states = None
        if ctx.needs_input_grad[0]:
            in_states = in_inner @ down
            for layer, gradient in zip(layers, outer, strict=True):
                in_states.addmm_(gradient, layer.weight(states.dtype))
        return in_states, None, *found
