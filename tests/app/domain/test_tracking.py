from __future__ import annotations

import pytest

from app.domain.events import Started
from app.domain.specs import TrainingSettings
from app.domain.tracking import UNREADABLE, Tracker, configuration_of, hosts_of, trackers_named


def test_trackers_are_named_in_any_case_and_once() -> None:
    assert trackers_named(" WandB, mlflow,wandb,") == (Tracker.WANDB, Tracker.MLFLOW)
    assert trackers_named("") == ()


def test_a_tracker_there_is_not_is_named_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="there is no tracker 'neptune'; there are trackio, wandb, mlflow"):
        trackers_named("wandb,neptune")


def test_a_tracker_is_told_settings_and_figures_and_no_folder_or_text() -> None:
    data = {
        "base": "acme/small", "device": "cpu", "rows": 54, "base_dir": "/srv/ann/models/small", "precision_reason": "measured",
        "settings": TrainingSettings(rank=8).model_dump(), "samples": ["Dear Sir"],
    }  # fmt: skip
    told = configuration_of(Started(message="Training small for Ann", data=data))
    assert {name: told[name] for name in ("base", "device", "rows", "rank", "tuning")} == {
        "base": "acme/small", "device": "cpu", "rows": 54, "rank": 8, "tuning": "lora",
    }  # fmt: skip
    assert not {"base_dir", "precision_reason", "samples", "settings", "max_steps"} & set(told)
    assert "Ann" not in str(told)


@pytest.mark.parametrize(
    ("environment", "hosts"),
    [
        ({}, ["", "api.wandb.ai", ""]),
        ({"WANDB_MODE": "", "MLFLOW_TRACKING_URI": "databricks"}, ["", "api.wandb.ai", "databricks"]),
        (
            {"WANDB_MODE": "shared", "MLFLOW_TRACKING_URI": "databricks://prod", "DATABRICKS_HOST": "https://acme.databricks.com"},
            ["", "api.wandb.ai", "acme.databricks.com"],
        ),
        ({"WANDB_BASE_URL": "http://ann:pw@[::1", "MLFLOW_TRACKING_URI": "http://ann:pw@[::1"}, ["", UNREADABLE, UNREADABLE]),
        ({"WANDB_MODE": "offline", "MLFLOW_TRACKING_URI": "sqlite:///runs.db"}, ["", "", ""]),
        (
            {
                "WANDB_BASE_URL": "https://wandb.example",
                "MLFLOW_TRACKING_URI": "http://ann:pw@mlflow:5000",
                "TRACKIO_SPACE_ID": "ann/curves",
            },
            ["huggingface.co", "wandb.example", "mlflow"],
        ),
        ({"TRACKIO_SERVER_URL": "http://board:7860/?write_token=x"}, ["board", "api.wandb.ai", ""]),
    ],
)
def test_the_host_of_each_tracker_is_known_without_what_opens_it(environment: dict[str, str], hosts: list[str]) -> None:
    assert list(hosts_of(Tracker, environment).values()) == hosts
