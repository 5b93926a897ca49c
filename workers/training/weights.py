"""Counting weights, packed ones too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import torch
    from transformers import PreTrainedModel


def many(weights: torch.Tensor) -> int:
    """Count weights; four-bit ones are packed two to a byte, so their own record of the shape counts."""
    state = getattr(weights, "quant_state", None)
    return weights.numel() if state is None else int(state.shape.numel())


def count_parameters(model: nn.Module) -> int:
    """Count a model's weights."""
    return sum(many(parameter) for parameter in model.parameters())


def matrices(model: PreTrainedModel) -> Iterator[tuple[nn.Module, nn.Parameter]]:
    """Give what the layers of the language model multiply with, experts too, and where it lies; no embeddings, no head, no adapter."""
    for name, module in model.get_decoder().named_modules():
        if isinstance(module, nn.Embedding) or "lora_" in name:
            continue
        for weight in module.parameters(recurse=False):
            if weight.ndim > 1:
                yield module, weight


def share_of(model: PreTrainedModel, is_meant: Callable[[nn.Module, nn.Parameter], bool]) -> float:
    """Return which share of the weights in these matrices is meant."""
    counted = [(many(weight), is_meant(module, weight)) for module, weight in matrices(model)]
    total = sum(count for count, _ in counted)
    return sum(count for count, meant in counted if meant) / total if total else 0.0
