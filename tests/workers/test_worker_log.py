"""A worker's log: whatever it says while it holds a run names the run and its token."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from app.config import Settings
from app.db import Run
from app.db.counters import RUN_STEPS, counted
from app.db.session import reading, unit_of_work
from app.domain.events import Metric
from app.gateways.storage import LocalStorage
from app.services.accounts import Identity
from tests.databases import add_dataset, add_run
from tests.workers.scenes import Play, play, run_id, worker
from workers.training_work import TrainingWork
from workers.worker import Worker

__all__ = ["play", "run_id", "worker"]


def test_every_line_about_a_run_names_it_and_its_token(play: Play, run_id: str) -> None:
    with capture_logs(processors=[merge_contextvars]) as lines:
        play("speaks nonsense")
    assert {line["event"] for line in lines} >= {"claimed", "a child reported what is no event"}
    assert {(line.get("run"), line.get("token")) for line in lines} == {(run_id, 1)}


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)  # on SQLite one writes at a time, whatever is written
def test_no_run_waits_for_another_that_is_about_to_commit(engine: Engine, owner: Identity) -> None:
    runs = {who: add_run(engine, owner, add_dataset(engine, owner)) for who in ("frozen", "other")}
    workers = {who: Worker(Settings(), "gpu", 1, 2.0, engine, LocalStorage(Path()), "CPU", has_gpu=False) for who in runs}

    def record(session: Session, who: str) -> None:
        step = Metric(step=1, name="train/loss", value=1.0)
        TrainingWork().record(session, workers[who], session.get_one(Run, runs[who]), [step])

    with unit_of_work(engine) as frozen:
        record(frozen, "frozen")
        frozen.flush()
        with unit_of_work(engine) as session:
            record(session, "other")
    with reading(engine) as session:
        assert counted(session)[RUN_STEPS] == 2


def test_steps_are_counted_as_they_are_recorded(engine: Engine, play: Play, run_id: str) -> None:
    play("dies")
    play("succeeds")
    with reading(engine) as session:
        assert counted(session)[RUN_STEPS] == 2
