"""Faster forward passes for modules as most decoders have them. Who makes one tries it on its module before it takes its place."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from transformers.activations import ACT2FN

from workers.training.attention import attend
from workers.training.fast.linear import ADAPTED, Layer, project
from workers.training.fast.pieces import gated, normalise, rotate

if TYPE_CHECKING:
    from collections.abc import Callable

    from workers.training.plan import Options

    Forward = Callable[..., Any]

ACTIVATIONS = {type(ACT2FN["silu"]): "silu", type(ACT2FN["gelu_pytorch_tanh"]): "gelu_tanh"}
LIMITS = ("limit", "swiglu_limit")
"""What architectures call the number beyond which their MLPs cut off."""


def may_be_faster(module: torch.nn.Module) -> bool:
    """Say whether a module is of a kind that is made faster here: a quick look, which its maker looks at again."""
    return isinstance(module, ADAPTED) or _is_norm(module) or hasattr(module, "gate_proj")


def linear(module: torch.nn.Module) -> Forward | None:
    """Return the forward pass of a linear layer with plain LoRA beside it."""
    layer = Layer.of(module)
    return None if layer is None else lambda states: project(states, [layer])[0]


def norm(module: Any) -> Forward | None:
    """Return the forward pass of a root-mean-square norm with frozen weights; some architectures hold them less one."""
    weight = getattr(module, "weight", None)
    epsilon = getattr(module, "variance_epsilon", getattr(module, "eps", None))
    if not _is_norm(module) or weight is None or weight.requires_grad or not isinstance(epsilon, float):
        return None
    probe = torch.ones(1, len(weight), dtype=weight.dtype, device=weight.device)
    if torch.allclose(module(probe), probe * weight, rtol=0.02, atol=0.02):
        return lambda states: normalise(states, weight, epsilon)
    # Gemma adds the one, and multiplies, in float32: in bf16 the sum would be rounded for every token alike.
    whole = weight.float() + 1
    return lambda states: normalise(states, whole, epsilon)


def mlp(module: Any) -> Forward | None:
    """Return the forward pass of a gated MLP."""
    gate, up, down = (_layer(module, name) for name in ("gate_proj", "up_proj", "down_proj"))
    kind = ACTIVATIONS.get(type(getattr(module, "act_fn", None)))
    if gate is None or up is None or down is None or kind is None or _is_clamped(module):
        return None

    def forward(states: torch.Tensor) -> torch.Tensor:
        opening, rising = project(states, [gate, up])
        return project(gated(opening, rising, kind), [down])[0]

    return forward


def attention(module: Any, options: Options, cos: torch.Tensor) -> Forward | None:
    """Return the forward pass of attention with rotary positions over a pack; anything else goes the module's own way."""
    query, key, value, output = (_layer(module, name) for name in ("q_proj", "k_proj", "v_proj", "o_proj"))
    width: int | None = getattr(module, "head_dim", None)
    if query is None or key is None or value is None or output is None or width is None or cos.shape[-1] != width:
        return None
    if not _turns_alone(module):
        return None
    even = [getattr(module, name, None) or _as_it_is for name in ("q_norm", "k_norm")]
    own = module.forward

    def forward(hidden_states: torch.Tensor, *args: Any, plan: Any = None, position_embeddings: Any = None, **more: Any) -> Any:
        if plan is None:
            return own(hidden_states, *args, position_embeddings=position_embeddings, **more)
        cos, sin = (part[0] for part in position_embeddings)  # T, D
        asked, *rest = (made[0].unflatten(-1, (-1, width)) for made in project(hidden_states, [query, key, value]))  # T, heads, D
        turned = [rotate(normed(states), cos, sin) for normed, states in zip(even, (asked, rest[0]), strict=True)]
        taken = attend(turned[0], turned[1], rest[1], plan, options)
        return project(taken.flatten(1)[None], [output])[0], None

    return forward


def _turns_alone(module: Any) -> bool:
    """Say whether nothing but turning happens to queries and keys: what short rows do not show would not be seen in a trial."""
    config = module.config
    scaled = "llama_4_scaling_beta" in (getattr(config, "rope_parameters", None) or {})
    return not scaled and getattr(config, "clip_qkv", None) is None and bool(getattr(module, "use_rope", True))


def _is_norm(module: torch.nn.Module) -> bool:
    return type(module).__name__.endswith("RMSNorm")


def _is_clamped(module: torch.nn.Module) -> bool:
    """Say whether an MLP cuts off what is too large: a trial with small numbers would not show it."""
    limits = (getattr(module, name, None) for name in LIMITS)
    return any(limit is not None and math.isfinite(limit) for limit in limits)


def _layer(module: torch.nn.Module, name: str) -> Layer | None:
    held = getattr(module, name, None)
    return None if held is None else Layer.of(held)


def _as_it_is(states: torch.Tensor) -> torch.Tensor:
    return states
