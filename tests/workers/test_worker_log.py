"""A worker's log: whatever it says while it holds a run names the run and its token."""

from __future__ import annotations

from sqlalchemy import Engine
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from app.db.counters import RUN_STEPS, counted
from app.db.session import reading
from tests.workers.scenes import Play, play, run_id, worker

__all__ = ["play", "run_id", "worker"]


def test_every_line_about_a_run_names_it_and_its_token(play: Play, run_id: str) -> None:
    with capture_logs(processors=[merge_contextvars]) as lines:
        play("speaks nonsense")
    assert {line["event"] for line in lines} >= {"claimed", "a child reported what is no event"}
    assert {(line.get("run"), line.get("token")) for line in lines} == {(run_id, 1)}


def test_steps_are_counted_as_they_are_recorded(engine: Engine, play: Play, run_id: str) -> None:
    play("dies")
    play("succeeds")
    with reading(engine) as session:
        assert counted(session)[RUN_STEPS] == 2
