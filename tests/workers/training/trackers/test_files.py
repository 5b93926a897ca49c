from __future__ import annotations

from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from app.domain.events import Event, Finished, Metric, Started
from app.domain.tracking import Tracking
from tests.waiting import until
from workers.training.trackers.feed import Trackers

pytestmark = pytest.mark.usefixtures("patient")


def write(out: Path, events: list[Event]) -> list[str]:
    told: list[str] = []
    trackers = Trackers(out, Tracking(), told.append)
    for event in events:
        trackers.hear(event)
    trackers.close()
    return told


def losses(first: int, last: int, value: float) -> list[Event]:
    return [Metric(step=step, name="train/loss", value=value) for step in range(first, last + 1)]


def losses_in(folder: Path) -> int:
    """Return how many losses TensorBoard finds there."""
    if not folder.exists():
        return 0
    found = EventAccumulator(str(folder))
    found.Reload()
    return len(found.Scalars("train/loss")) if "train/loss" in found.Tags()["scalars"] else 0


def test_two_attempts_are_one_curve_for_tensorboard(tmp_path: Path) -> None:
    begun = Started(message="m", data={"settings": {"rank": 8}})
    assert write(tmp_path, [begun, *losses(1, 6, 2.0)]) == []
    resumed = begun.model_copy(update={"step": 4})
    assert write(tmp_path, [resumed, *losses(5, 8, 1.0), Metric(step=8, name="eval/loss", value=0.5), Finished(status="succeeded")]) == []
    found = EventAccumulator(str(tmp_path / "tensorboard"))
    found.Reload()
    assert [(e.step, e.value) for e in found.Scalars("train/loss")] == [(n, 2.0) for n in range(1, 5)] + [(n, 1.0) for n in range(5, 9)]
    assert [(e.step, e.value) for e in found.Scalars("eval/loss")] == [(8, 0.5)]


def test_a_run_that_never_began_leaves_no_folder(tmp_path: Path) -> None:
    assert write(tmp_path, [Finished(status="failed")]) == []
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_takes_nothing_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "tensorboard").write_text("in the way")
    told = write(tmp_path, [Started(message="m"), *losses(1, 3, 1.0)])
    assert told == ["The run's folder for TensorBoard takes no more numbers: File exists. The run goes on without it."]


def test_what_was_told_stands_there_though_nobody_closes_it(tmp_path: Path) -> None:
    trackers = Trackers(tmp_path, Tracking(), lambda _: None)
    for event in [Started(message="m"), *losses(1, 3, 1.0)]:
        trackers.hear(event)
    until(lambda: losses_in(tmp_path / "tensorboard") >= 3)
    assert losses_in(tmp_path / "tensorboard") == 3
    trackers.close()
