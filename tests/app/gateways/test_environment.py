from __future__ import annotations

import pytest

from app.domain.tracking import Tracker
from app.gateways.environment import child_environment

KEYS = {
    "WANDB_API_KEY": "w", "MLFLOW_TRACKING_URI": "m", "DATABRICKS_TOKEN": "d", "TRACKIO_WRITE_TOKEN": "t", "HF_TOKEN": "h",
    "HTTPS_PROXY": "p",
}  # fmt: skip


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("TRACKIO_SPACE_ID", raising=False)


def given(*trackers: Tracker) -> set[str]:
    return set(KEYS) & set(child_environment(own="HONE_TRAINER_", trackers=trackers))


def test_a_child_without_trackers_gets_no_key_and_no_way_out() -> None:
    assert given() == set()


def test_a_trainer_gets_the_keys_of_the_trackers_that_are_named_and_the_way_out() -> None:
    assert given(Tracker.WANDB) == {"WANDB_API_KEY", "HTTPS_PROXY"}
    assert given(Tracker.MLFLOW, Tracker.TRACKIO) == {"MLFLOW_TRACKING_URI", "DATABRICKS_TOKEN", "TRACKIO_WRITE_TOKEN", "HTTPS_PROXY"}


def test_the_hubs_token_goes_only_to_where_trackio_writes_to_a_space(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKIO_SPACE_ID", "ann/curves")
    assert "HF_TOKEN" in given(Tracker.TRACKIO)
    assert "HF_TOKEN" in given(Tracker.WANDB, Tracker.TRACKIO)
    assert "HF_TOKEN" not in given(Tracker.WANDB)


def test_a_variable_that_is_empty_stands_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "")
    assert given(Tracker.WANDB) == {"HTTPS_PROXY"}


@pytest.mark.parametrize("name", ["GOMP_SPINCOUNT", "ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"])
def test_what_an_operator_sets_for_a_trainers_libraries_reaches_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "7")
    assert child_environment(own="HONE_TRAINER_")[name] == "7"
