"""A worker that is told to leave costs no crash and at most one step, with the real trainer at random steps."""

from __future__ import annotations

import random
import signal
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from app.db import EventRow, metrics
from app.db.session import reading
from app.services.accounts import Identity
from tests.faults.harness.results import Recorder
from tests.faults.real_training import PATIENCE_SECONDS, Training, prepare
from tests.waiting import until


def told(training: Training, run_id: str) -> list[str]:
    """Return what happened to a run, in order."""
    with reading(training.engine) as session:
        return list(session.scalars(select(EventRow.type).where(EventRow.subject_id == run_id).order_by(EventRow.id)))


def lost_steps(training: Training, run_id: str) -> int:
    """Return how many finished steps the next worker has to repeat."""
    with reading(training.engine) as session:
        return metrics.latest(session, run_id)["train/loss"].step - training.run(run_id).checkpoint_step


def leave(training: Training, runs: list[str], steps: int) -> int:
    """Tell a worker to leave once all its runs are some steps further; return the most that one of them has to repeat."""
    begun = {run_id: training.run(run_id).step for run_id in runs}
    with training.worker(slots=len(runs)) as worker:
        until(lambda: all(training.run(run_id).step >= begun[run_id] + steps for run_id in runs))
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(PATIENCE_SECONDS) == 0
    assert training.processes() == {}
    for run in map(training.run, runs):
        assert (run.status, run.crashes_since_progress, run.lease_owner) == ("queued", 0, None)
        assert told(training, run.id)[-1] == "interrupted"
        assert run.step == run.checkpoint_step > begun[run.id]
    return max(lost_steps(training, run_id) for run_id in runs)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("at_once", "times"), [(2, 1), pytest.param(3, 10, marks=pytest.mark.slow)])
def test_a_worker_told_to_leave_costs_nothing(
    engine: Engine, owner: Identity, tmp_path: Path, seed: int, at_once: int, times: int, record: Recorder
) -> None:
    training = prepare(engine, owner, tmp_path)
    chance = random.Random(seed)  # noqa: S311 - chance that can be repeated
    # No checkpoint but those that leaving makes.
    runs = [training.launch(checkpoint_every_steps=1_000_000) for _ in range(at_once)]
    most = max(leave(training, runs, chance.randint(1, 30)) for _ in range(times))
    assert most <= 1
    crashes = sum(training.run(run_id).crashes_since_progress for run_id in runs)
    record("R7", n=times * at_once, result={"most_steps_repeated": most, "crashes": crashes}, seed=seed, database="sqlite")
