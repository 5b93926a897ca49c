"""A run that a waiting trainer takes is the run it would have been: what was rehearsed leaves no trace in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.domain.events import AnyEvent
from tests.waiting import until
from tests.workers.training.conftest import Train
from tests.workers.training.tiny import curve, last, write_spec
from workers.child import Child
from workers.warm_trainers import WarmTrainers


def heard(child: Child) -> list[AnyEvent]:
    events, ended = child.drain(1)
    while not ended:
        more, ended = child.drain(1)
        events += more
    child.let_end()
    child.kill()
    return events


def test_its_numbers_are_those_of_a_run_in_a_process_of_its_own(
    train_here: Train, base: Path, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"max_steps": 3, "learning_rate": 0.01, "dropout": 0.1}
    _, cold = train_here(**settings, out="cold")
    monkeypatch.setattr("workers.warm_trainers.LOOK_SECONDS", 0.1)
    keeper = WarmTrainers()
    keeper.start()
    until(keeper.is_ready)
    out = tmp_path / "out"
    out.mkdir()
    arguments = ["workers.train", str(write_spec(tmp_path, base, rows, **settings)), "--out", str(out)]
    child = Child(arguments, folder=out, log_file=out / "log.txt", warm=keeper)
    warm = heard(child)
    keeper.close()
    assert child.was_warm
    assert last(warm).status == "succeeded"
    for name in ("train/loss", "train/grad_norm", "eval/loss"):
        assert curve(warm, name) == curve(cold, name)
