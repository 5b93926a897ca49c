"""The optimiser and the learning rate's path over a run."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.domain.specs import TrainingSettings

BETAS = (0.9, 0.999)


def make_optimiser(parameters: Sequence[torch.nn.Parameter], settings: TrainingSettings, device: torch.device) -> torch.optim.Optimizer:
    """Return AdamW; on a GPU and with QLoRA the paged 8-bit one, whose state leaves the GPU when memory is short."""
    rate = learning_rate(settings, 1, 1)
    if settings.tuning == "qlora" and device.type == "cuda":
        from bitsandbytes.optim.adamw import PagedAdamW8bit

        paged: torch.optim.Optimizer = PagedAdamW8bit(parameters, lr=rate, betas=BETAS, weight_decay=settings.weight_decay)
        return paged
    return torch.optim.AdamW(parameters, lr=rate, betas=BETAS, weight_decay=settings.weight_decay, fused=True)


def learning_rate(settings: TrainingSettings, step: int, total_steps: int) -> float:
    """Return the learning rate of a step (1-based): a linear rise, then the schedule; pure, so a resumed run needs no state."""
    if settings.learning_rate == "auto":
        message = "The learning rate is decided before training."
        raise ValueError(message)
    peak = settings.learning_rate
    warm_up = math.ceil(settings.warmup_ratio * total_steps) if total_steps > 1 else 0
    if step <= warm_up:
        return peak * step / warm_up
    passed = (step - 1 - warm_up) / max(1, total_steps - warm_up)
    return peak * SCHEDULES[settings.schedule](passed)


SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda _passed: 1.0,
    "linear": lambda passed: 1.0 - passed,
    "cosine": lambda passed: 0.5 * (1.0 + math.cos(math.pi * passed)),
}
