"""The optimiser and the learning rate's path over a run."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from peft.optimizers import create_loraplus_optimizer

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.domain.specs import TrainingSettings
    from workers.training.model import LoadedModel

BETAS = (0.9, 0.999)
Made = tuple[Any, dict[str, Any]]
"""A class of optimisers and what only it is given."""
FACTOR = "rate_factor"
"""What a group of parameters calls its share of the run's learning rate; it is saved with the group."""


def choose_optimiser(settings: TrainingSettings, device: torch.device, *, earlier: str | None) -> str:
    """Return the kind of optimiser of a run; one that goes on keeps what its state is of (`earlier`)."""
    if earlier:
        return earlier
    if settings.optimiser != "auto":
        return settings.optimiser
    return "paged_adamw_8bit" if settings.tuning == "qlora" and device.type == "cuda" else "adamw"


def make_optimiser(kind: str, model: LoadedModel, settings: TrainingSettings) -> torch.optim.Optimizer:
    """Return AdamW over what is trained; with LoRA+ in groups whose learning rates differ by a factor."""
    rate = learning_rate(settings, 1, 1)
    make, own = OPTIMISERS[kind](model.device)
    options = own | {"lr": rate, "betas": BETAS, "weight_decay": settings.weight_decay}
    if settings.lora_plus is None or model.peft is None:
        plain: torch.optim.Optimizer = make(model.trainable(), **options)
        if model.masters:
            model.masters.lead(plain)
        return plain
    options |= {"loraplus_weight_decay": settings.weight_decay, "loraplus_lr_embedding": rate}
    optimiser = create_loraplus_optimizer(model.peft, make, loraplus_lr_ratio=settings.lora_plus, **options)
    for group in optimiser.param_groups:
        group[FACTOR] = group["lr"] / rate
    _let_lengths_learn_plainly(optimiser)
    return optimiser


def _let_lengths_learn_plainly(optimiser: torch.optim.Optimizer) -> None:
    """Put what DoRA learns beside the matrices, the lengths of rows, in with the first ones: peft has it learn as fast as the second."""
    first, *others = optimiser.param_groups
    for group in others:
        first["params"] += [weight for weight in group["params"] if weight.ndim == 1]
        group["params"] = [weight for weight in group["params"] if weight.ndim > 1]


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Let each group of parameters learn at its share of the run's learning rate."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group.get(FACTOR, 1.0)


def _adamw(_device: torch.device) -> Made:
    return torch.optim.AdamW, {"fused": True}


def _adamw_8bit(_device: torch.device) -> Made:
    from bitsandbytes.optim.adamw import AdamW8bit

    return AdamW8bit, {}


def _paged_adamw_8bit(device: torch.device) -> Made:
    from bitsandbytes.optim.adamw import PagedAdamW8bit

    # On a CPU there is nothing to page out of.
    return (PagedAdamW8bit, {}) if device.type == "cuda" else _adamw_8bit(device)


OPTIMISERS: dict[str, Callable[[torch.device], Made]] = {
    "adamw": _adamw,
    "adamw_8bit": _adamw_8bit,
    "paged_adamw_8bit": _paged_adamw_8bit,
}


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
