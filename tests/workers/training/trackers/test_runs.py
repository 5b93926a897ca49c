"""Whole runs with trackers: the same figures as in events.jsonl, and an outage that changes none of them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from app.domain.events import AnyEvent, Notice
from app.domain.tracking import Tracker, Tracking
from tests.workers.training.conftest import Train, base, rows, train_here, undisturbed
from tests.workers.training.tiny import curve, last, read_events, write_spec
from tests.workers.training.trackers.stand_in import serving
from workers import train
from workers.training.trackers import feed, program

__all__ = ["base", "rows", "train_here", "undisturbed"]


def drawn(out: Path, name: str) -> dict[int, float]:
    """Return what TensorBoard draws of a run."""
    found = EventAccumulator(str(out / "tensorboard"))
    found.Reload()
    return {event.step: event.value for event in found.Scalars(name)}


def tracked(tmp_path: Path, base: Path, rows: Path, **settings: int) -> tuple[int, list[AnyEvent]]:
    """Train with MLflow."""
    spec = write_spec(tmp_path, base, rows, **settings)
    tracking = Tracking(trackers=(Tracker.MLFLOW,), name="colours").model_dump_json()
    code = train.main([str(spec), "--out", str(tmp_path / "tracked"), "--tracking", tracking])
    return code, read_events(tmp_path / "tracked")


def test_a_run_leaves_its_numbers_and_settings_for_tensorboard_by_itself(train_here: Train, tmp_path: Path, patient: None) -> None:
    _, events = train_here(max_steps=3)
    for name in ("train/loss", "train/grad_norm", "eval/loss"):
        assert drawn(tmp_path / "out", name) == pytest.approx(curve(events, name), rel=1e-6)
    (file,) = (tmp_path / "out" / "tensorboard").iterdir()
    assert str(tmp_path).encode() not in file.read_bytes()
    assert b"tiny-base" in file.read_bytes()


def test_a_tracker_gets_what_the_events_say_and_a_second_attempt_goes_on_there(
    tmp_path: Path, base: Path, rows: Path, undisturbed: None, monkeypatch: pytest.MonkeyPatch, patient: None
) -> None:
    monkeypatch.setattr(program, "PROGRAM", "tests.workers.training.trackers.unhurried")
    with serving() as server:
        for _ in range(2):
            monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
            code, events = tracked(tmp_path, base, rows, max_steps=2)
            assert code == 0
        (run,) = server.runs.values()
    assert len([event for event in events if event.type == "started"]) == 2
    sent = {step: value for step, name, value in run["metrics"] if name == "train/loss"}
    assert sent == pytest.approx(curve(events))
    assert (run["params"]["dataset"], run["params"]["base"], run["params"]["max_steps"]) == ("rows.jsonl", "tiny-base", "2")
    assert str(tmp_path) not in str(run)


@pytest.mark.parametrize("manner", ["hangs", "error"])
def test_an_outage_neither_fails_nor_holds_up_a_run_and_changes_no_figure(
    tmp_path: Path, base: Path, rows: Path, train_here: Train, monkeypatch: pytest.MonkeyPatch, manner: str
) -> None:
    _, alone = train_here(max_steps=3)
    monkeypatch.setattr(feed, "END_SECONDS", 1.0)
    with serving("hangs" if manner == "hangs" else "error") as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
        began = time.monotonic()
        code, events = tracked(tmp_path, base, rows, max_steps=3)
        assert time.monotonic() - began < 60.0
    assert (code, last(events).status) == (0, "succeeded")
    assert (curve(events), curve(events, "eval/loss")) == (curve(alone), curve(alone, "eval/loss"))
    assert [event.message.split()[0] for event in events if isinstance(event, Notice) and "MLflow" in event.message]
