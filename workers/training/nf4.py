"""QLoRA's four-bit base: real NF4 with double quantisation, counted, and right on the CPU too."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from bitsandbytes.functional import dequantize_4bit
from bitsandbytes.nn.modules import Linear4bit
from torch.nn import functional

from app.domain.architectures import LEAST_FOUR_BIT_SHARE
from app.domain.errors import Invalid
from workers.training.weights import share_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel

BLOCK = 64
VECTOR = 16
"""The CPU kernel reads rows of a multiple of this many weights as if each began a new block (measured, bitsandbytes 0.50)."""


def nf4_share(model: PreTrainedModel) -> float:
    """Return which share of the weights in the layers' matrices is held in NF4 with double quantisation."""
    return share_of(model, lambda module, _: _is_nf4(module))


def check_nf4(model: PreTrainedModel) -> float:
    """Return the NF4 share, or refuse a base of which too little could be quantised."""
    share = nf4_share(model)
    if share < LEAST_FOUR_BIT_SHARE:
        # Experts that a model holds as one block are no linear layers, which are all that is quantised.
        message = (
            f"Only {share:.0%} of the weights of the base's layers could be held in 4 bits, as with most mixtures of experts; "
            "use LoRA for this base (settings.tuning: lora)."
        )
        raise Invalid(message, param="tuning", code="not_quantisable")
    return share


def prepare_for_cpu(model: PreTrainedModel) -> None:
    """Make four-bit layers trainable on a CPU: no repacking for inference, and right products for every width."""
    for module in model.modules():
        if isinstance(module, Linear4bit):
            # Repacked weights have no backward pass, and the repacking happens at the first look without gradients.
            module.support_avx512bf16_for_cpu = False
            if module.in_features % BLOCK and module.in_features % VECTOR == 0:
                module.__class__ = RaggedLinear4bit


def check_dora(model: torch.nn.Module) -> None:
    """Refuse DoRA where rows are no whole number of blocks: peft would take their lengths from what the CPU kernel misreads."""
    if any(isinstance(module, RaggedLinear4bit) for module in model.modules()):
        message = (
            f"DoRA in 4 bits wants layers whose width is a multiple of {BLOCK} when a CPU trains, which this base's are not. "
            "Set settings.adapter to lora, or settings.tuning to lora."
        )
        raise Invalid(message, param="adapter", code="not_quantisable")


class RaggedLinear4bit(Linear4bit):
    """A four-bit layer whose rows are no whole number of blocks, which the CPU kernel misreads; here they are read flat."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Multiply in the compute type and give back the input's."""
        states = x.to(self.compute_dtype) if self.compute_dtype is not None else x
        apply: Any = _FlatProduct.apply
        packed: Any = self.weight
        product: torch.Tensor = apply(states, packed, packed.quant_state)
        bias: torch.Tensor | None = self.bias
        return (product if bias is None else product + bias.to(product.dtype)).to(x.dtype)


class _FlatProduct(torch.autograd.Function):
    """x @ W.T with W unpacked anew in the backward pass, so that it never stays in memory."""

    @staticmethod
    def forward(ctx: Any, states: torch.Tensor, packed: torch.Tensor, quant_state: Any) -> torch.Tensor:
        ctx.packed, ctx.quant_state = packed, quant_state
        return functional.linear(states, unpacked(packed, quant_state, states.dtype))

    @staticmethod
    def backward(ctx: Any, *outer: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        return outer[0] @ unpacked(ctx.packed, ctx.quant_state, outer[0].dtype), None, None


def unpacked(packed: torch.Tensor, quant_state: Any, dtype: torch.dtype) -> torch.Tensor:
    """Return the weights, read as rows of exactly one block, or of two weights where blocks do not come out even."""
    numel = quant_state.shape.numel()
    width = BLOCK if numel % BLOCK == 0 else 2
    flat = copy.copy(quant_state)
    flat.shape = torch.Size((numel // width, width))
    weights = dequantize_4bit(packed.data.reshape(-1, 1), flat)
    return weights.reshape(quant_state.shape).to(dtype)


def _is_nf4(module: torch.nn.Module) -> bool:
    state = getattr(getattr(module, "weight", None), "quant_state", None)
    return isinstance(module, Linear4bit) and state is not None and state.quant_type == "nf4" and state.nested
