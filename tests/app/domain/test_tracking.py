from __future__ import annotations

import pytest

from app.domain.events import Started
from app.domain.specs import TrainingSettings
from app.domain.tracking import Tracker, configuration_of, trackers_named


def test_trackers_are_named_in_any_case_and_once() -> None:
    assert trackers_named(" WandB, mlflow,wandb,") == (Tracker.WANDB, Tracker.MLFLOW)
    assert trackers_named("") == ()


def test_a_tracker_there_is_not_is_named_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="there is no tracker 'neptune'; there are trackio, wandb, mlflow"):
        trackers_named("wandb,neptune")


def test_a_tracker_is_told_settings_and_figures_and_no_folder_or_text() -> None:
    data = {
        "base": "acme/small", "device": "cpu", "rows": 54, "base_dir": "/home/ann/models/small", "precision_reason": "measured",
        "settings": TrainingSettings(rank=8).model_dump(), "samples": ["Dear Sir"],
    }  # fmt: skip
    told = configuration_of(Started(message="Training small for Ann", data=data))
    assert {name: told[name] for name in ("base", "device", "rows", "rank", "tuning")} == {
        "base": "acme/small", "device": "cpu", "rows": 54, "rank": 8, "tuning": "lora",
    }  # fmt: skip
    assert not {"base_dir", "precision_reason", "samples", "settings", "max_steps"} & set(told)
    assert "Ann" not in str(told)
