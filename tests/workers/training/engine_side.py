"""The step as the engine takes it, ready to be held against the reference's."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from app.domain.specs import TrainingSettings
from tests.workers.training.reference import RANK, Rows, Step, taken_gradients, trained_weights
from workers.training.base_model import BaseModel
from workers.training.batches import Batch, Layout, lay_out
from workers.training.model import LoadedModel, load_model
from workers.training.precision import Precision

FEW_TOKENS = 100
"""So few at once that most steps take several batches."""


def engine_model(folder: Path, *, precision: str = "fp32", device: str = "cpu", **settings: Any) -> LoadedModel:
    """Load a base as a run does, with an adapter that is no longer at its beginning, where half of its gradient is zero."""
    config = json.loads((folder / "config.json").read_text())
    chosen = TrainingSettings.model_validate({"rank": RANK, "dropout": 0.0, **settings})
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):  # peft names the experts that other models would have
        loaded = load_model(BaseModel(folder, folder.name, config), chosen, Precision(precision, "a test"), torch.device(device))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, weight in trained_weights(learner(loaded)).items():
            if "lora_B" in name:
                weight.copy_(0.1 * torch.randn(weight.shape, generator=generator))
    return loaded


def learner(model: LoadedModel) -> torch.nn.Module:
    """Return what holds the trained weights: the adapter's model, or with full tuning the base."""
    return model.base if model.peft is None else model.peft


def engine_step(model: LoadedModel, rows: Rows, layout: Layout, *, tokens: int = FEW_TOKENS) -> Step:
    """Return what the engine makes of a step, laid out."""
    return step_of_batches(model, lay_out(rows, layout, token_budget=tokens))


def step_of_batches(model: LoadedModel, batches: Sequence[Batch]) -> Step:
    """Return the loss per trained token and its gradient, and leave none behind."""
    trained = sum(len(batch.targets) for batch in batches)
    module = learner(model)
    module.zero_grad()
    loss = 0.0
    for batch in batches:
        loss += model.loss.learn(batch, trained)
    return Step(loss / trained, taken_gradients(module))
