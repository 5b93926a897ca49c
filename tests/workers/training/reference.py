"""The step as a textbook writes it, to hold the engine against: padded rows, the model's own forward, all logits, peft's own LoRA.

It shares no line with the engine: eager attention with a mask for the padding, cross-entropy over [rows, length, vocabulary], autograd.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bitsandbytes.nn.modules import Linear4bit
from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from workers.training.masks import MaskedRow

Rows = Sequence[tuple[int, MaskedRow]]
IGNORED = -100
RANK = 4
MOST, MOST_OF_A_TENSOR, MOST_OF_THE_LOSS = 1e-5, 1e-4, 1e-6
"""What float32 excuses."""
LEAST_SHARE = 1e-3
"""A tensor with less than this share of the whole gradient is held against that much: below it float32 itself has the say."""


@dataclass(frozen=True)
class Step:
    """What a step came to: its loss per trained token, and the gradient of each trained weight."""

    loss: float
    gradients: dict[str, torch.Tensor]

    def whole(self) -> torch.Tensor:
        """Return all gradients in a row."""
        return torch.cat([self.gradients[name].flatten().double() for name in sorted(self.gradients)])


def plain_base(folder: Path, **options: Any) -> PreTrainedModel:
    """Load a base as transformers has it, with attention as its authors wrote it down."""
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", **options).eval()
    return model


def plain_model(
    folder: Path, like: torch.nn.Module, *, dtype: torch.dtype = torch.float32, base: dict[str, Any] | None = None, **adapter: Any
) -> PeftModel:
    """Load a base as transformers has it (`base`: how else), with peft's adapter of the same weights as `like`."""
    model = plain_base(folder, dtype=dtype, **base or {})
    for module in model.modules():
        if isinstance(module, Linear4bit):  # on a CPU it would round what the first layer reads, as for inference
            module.support_avx512bf16_for_cpu = False
    config = LoraConfig(
        r=RANK,
        lora_alpha=2 * RANK,
        target_modules="all-linear",
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),
        task_type=TaskType.CAUSAL_LM,
        **adapter,
    )
    with warnings.catch_warnings(action="ignore"):
        peft = get_peft_model(model, config)
    weights = trained_weights(like)
    with torch.no_grad():
        for name, weight in trained_weights(peft).items():
            weight.copy_(weights.pop(name))
    assert not weights
    return peft.to(next(like.parameters()).device).eval()


def trained_weights(model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """Return the trained weights by peft's names."""
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


def padded_loss(model: torch.nn.Module, rows: Rows) -> torch.Tensor:
    """Return the loss per trained token of rows padded at the end to the longest."""
    longest = max(len(row.ids) for _, row in rows)
    ids, labels = torch.zeros(len(rows), longest, dtype=torch.long), torch.full((len(rows), longest), IGNORED)
    mask = torch.zeros(len(rows), longest, dtype=torch.long)
    for index, (_, row) in enumerate(rows):
        length = len(row.ids)
        ids[index, :length] = torch.from_numpy(row.ids.astype(np.int64))
        labels[index, :length] = torch.where(torch.from_numpy(row.trained), ids[index, :length], IGNORED)
        mask[index, :length] = 1
    device = next(model.parameters()).device
    logits = model(input_ids=ids.to(device), attention_mask=mask.to(device), use_cache=False).logits.float()
    wanted = labels[:, 1:].to(device)
    summed = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), wanted.flatten(), ignore_index=IGNORED, reduction="sum")
    return summed / (wanted != IGNORED).sum()


def step_of(model: torch.nn.Module, loss: Callable[[], torch.Tensor]) -> Step:
    """Return a loss and its gradient, and leave none behind."""
    model.zero_grad()
    found = loss()
    found.backward()
    return Step(float(found.detach()), taken_gradients(model))


def taken_gradients(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return the gradient of each trained weight, zeros where there is none, and leave none behind."""
    gradients = {name: torch.zeros_like(w) if w.grad is None else w.grad.clone() for name, w in trained_weights(model).items()}
    model.zero_grad()
    return gradients


def reference_step(model: torch.nn.Module, rows: Rows) -> Step:
    """Return the step that every layout has to come to."""
    return step_of(model, lambda: padded_loss(model, rows))


def trained_losses(model: torch.nn.Module, steps: Sequence[Rows], step: Callable[[Rows], Step]) -> list[float]:
    """Train a model by AdamW with the gradients that `step` finds, and return its losses."""
    weights = trained_weights(model)
    optimiser = torch.optim.AdamW(weights.values(), lr=2e-3)
    losses = []
    for rows in steps:
        found = step(rows)
        for name, weight in weights.items():
            weight.grad = found.gradients[name]
        optimiser.step()
        losses.append(found.loss)
    return losses


def gradient_difference(found: Step, expected: Step) -> float:
    """Return how far the whole gradient is off, relative to its size."""
    return float((found.whole() - expected.whole()).norm() / expected.whole().norm())


def worst_tensor(found: Step, expected: Step) -> float:
    """Return how far the worst single tensor's gradient is off, relative to its size."""
    least = LEAST_SHARE * float(expected.whole().norm())
    pairs = [(found.gradients[name].double(), wanted.double()) for name, wanted in expected.gradients.items()]
    return max(float((one - wanted).norm()) / max(float(wanted.norm()), least) for one, wanted in pairs)


def faults(found: Step, expected: Step) -> list[str]:
    """Return in what a step differs more than float32 excuses."""
    measured = {
        "loss": (abs(found.loss / expected.loss - 1), MOST_OF_THE_LOSS),
        "gradient": (gradient_difference(found, expected), MOST),
        "tensor": (worst_tensor(found, expected), MOST_OF_A_TENSOR),
    }
    return [f"{name} differs by {apart:.1e}" for name, (apart, most) in measured.items() if not apart <= most]
