"""The learning rate's path, and which optimiser walks it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from app.domain.specs import TrainingSettings
from workers.training.base_model import BaseModel, check_folder
from workers.training.model import LoadedModel, load_model
from workers.training.optim import choose_optimiser, learning_rate, make_optimiser, set_rate
from workers.training.precision import Precision

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def loaded(folder: Path, settings: TrainingSettings) -> LoadedModel:
    return load_model(BaseModel(folder, "tiny", check_folder(folder)), settings, Precision("fp32", "a test"), CPU)


def path(total: int, **given: object) -> list[float]:
    settings = TrainingSettings.model_validate({"learning_rate": 1.0, **given})
    return [learning_rate(settings, step, total) for step in range(1, total + 1)]


def test_it_rises_in_a_line_to_its_peak_and_falls_as_a_cosine() -> None:
    rates = path(100, warmup_ratio=0.1)
    assert rates[:10] == pytest.approx([0.1 * step for step in range(1, 11)])
    assert rates[10] == 1.0
    assert rates[55] == pytest.approx(0.5)
    assert 0 < rates[-1] < 0.01
    assert rates[10:] == sorted(rates[10:], reverse=True)


@pytest.mark.parametrize(("schedule", "middle"), [("constant", 1.0), ("linear", 0.5)])
def test_other_schedules(schedule: str, middle: float) -> None:
    assert path(10, schedule=schedule, warmup_ratio=0.0)[5] == pytest.approx(middle)


def test_a_single_step_is_taken_at_full_rate() -> None:
    assert path(1) == [1.0]


@pytest.mark.parametrize(
    ("given", "device", "earlier", "kind"),
    [
        ({}, GPU, None, "adamw"),
        ({"tuning": "qlora"}, GPU, None, "paged_adamw_8bit"),
        ({"tuning": "qlora"}, CPU, None, "adamw"),
        ({"tuning": "qlora"}, GPU, "adamw", "adamw"),
        ({"optimiser": "adamw_8bit"}, CPU, "", "adamw_8bit"),
    ],
)
def test_the_optimiser_is_the_one_asked_for_or_its_state_s(given: dict[str, str], device: torch.device, earlier: str, kind: str) -> None:
    assert choose_optimiser(TrainingSettings.model_validate(given), device, earlier=earlier) == kind


@pytest.mark.parametrize("kind", ["adamw", "paged_adamw_8bit"])
@pytest.mark.parametrize("adapter", ["lora", "dora"])
def test_lora_plus_moves_the_second_matrix_alone_faster_by_its_ratio(base: Path, adapter: str, kind: str) -> None:
    settings = TrainingSettings.model_validate({"lora_plus": 8, "learning_rate": 0.1, "rank": 4, "adapter": adapter})
    model = loaded(base, settings)
    optimiser = make_optimiser(kind, model, settings)
    set_rate(optimiser, 0.01)
    names = {id(weight): name for name, weight in model.base.named_parameters() if weight.requires_grad}
    rates = {names.pop(id(weight)): group["lr"] for group in optimiser.param_groups for weight in group["params"]}
    assert not names
    assert {rate for name, rate in rates.items() if "lora_B" not in name} == {0.01}
    assert {rate for name, rate in rates.items() if "lora_B" in name} == {0.08}
    assert any("lora_magnitude_vector" in name for name in rates) == (adapter == "dora")
