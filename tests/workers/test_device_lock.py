"""A GPU whose worker was killed is given out again when everything that worked on it has gone, and not before."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
from sqlalchemy import Engine

from app.config import Settings
from app.db import Run, WorkerRow
from app.db.session import reading
from app.gateways.storage import LocalStorage
from app.services.accounts import Identity
from tests.databases import add_dataset, add_run
from tests.waiting import until
from tests.workers.lock_holder import GPU
from tests.workers.scenes import Scripted
from workers import training_work
from workers.claim import claim_and_run
from workers.device_lock import DeviceLock
from workers.kinds import KINDS
from workers.sweep import sweep
from workers.training_work import TrainingWork
from workers.worker import Worker

DEADLINE_SECONDS = 60.0


@pytest.fixture
def engine(sqlite_engine: Engine) -> Engine:
    """The database that `owner` is the owner of."""
    return sqlite_engine


@pytest.fixture(autouse=True)
def meeting_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))


@pytest.fixture
def left_behind(request: pytest.FixtureRequest) -> Iterator[psutil.Process]:
    """What a killed worker's trainer had started, and what is still there."""
    command = [sys.executable, "-m", "tests.workers.lock_holder", request.param]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        process = psutil.Process(int(worker.stdout.readline()))
        trainer = process.parent()
        worker.kill()
        worker.stdout.close()
    assert trainer is not None
    trainer.wait(DEADLINE_SECONDS)
    yield process
    if process.is_running():
        process.kill()


@pytest.fixture
def worker(engine: Engine, owner: Identity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    """A new worker of the same GPU, and a run that waits."""
    monkeypatch.setitem(KINDS, "run", Scripted("succeeds", tmp_path))
    add_run(engine, owner, add_dataset(engine, owner))
    made = Worker(Settings(home=tmp_path), "gpu", 1, 2.0, engine, LocalStorage(tmp_path / "store"), "a GPU", has_gpu=True, gpu=GPU)
    yield made
    made.leaving.set()
    made.left.set()


def status(engine: Engine) -> str:
    with reading(engine) as session:
        return session.query(Run).one().status


@pytest.mark.parametrize("left_behind", ["keeps"], indirect=True)
def test_nothing_is_claimed_while_something_of_an_earlier_trainer_lives(left_behind: psutil.Process, worker: Worker) -> None:
    assert not claim_and_run(worker)
    assert status(worker.engine) == "queued"
    assert worker.says["waiting"] == f"a GPU is not free yet: an earlier trainer still holds it (process {left_behind.pid})"
    left_behind.kill()
    psutil.wait_procs([left_behind], DEADLINE_SECONDS)
    until(lambda: claim_and_run(worker))
    assert (status(worker.engine), worker.says["waiting"]) == ("succeeded", None)


@pytest.mark.parametrize("left_behind", ["forgets"], indirect=True)
def test_without_the_inherited_lock_it_would_be_claimed(left_behind: psutil.Process, worker: Worker) -> None:
    assert claim_and_run(worker)
    assert left_behind.is_running()


@pytest.mark.parametrize("left_behind", ["keeps"], indirect=True)
def test_a_worker_says_what_it_waits_for(left_behind: psutil.Process, worker: Worker) -> None:
    claim_and_run(worker)
    worker.register(sweep)

    def waits_for() -> str:
        with reading(worker.engine) as session:
            return str(session.get_one(WorkerRow, worker.id).facts.get("waiting") or "")

    assert str(left_behind.pid) in until(waits_for)


def test_a_trainer_is_given_its_gpus_lock(worker: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[int, ...]] = []
    monkeypatch.setattr(training_work, "Child", lambda *_, keeps, **__: given.append(keeps))
    monkeypatch.setattr(LocalStorage, "path", lambda *_: tmp_path / "rows.parquet")
    with reading(worker.engine) as session:
        run_id = session.query(Run).one().id
    with worker.device_lock.taken():
        TrainingWork().prepare(worker, run_id, 1)()
        assert given == [worker.device_lock.inherited]
    assert (len(given[0]), worker.device_lock.inherited) == (1, ())


def test_a_worker_of_several_slots_takes_a_gpu_as_often_and_no_more() -> None:
    lock = DeviceLock(GPU, 2)
    with lock.taken() as first, DeviceLock(GPU, 2).taken() as second, DeviceLock(GPU, 2).taken() as third:
        assert (first, second, third) == (True, True, False)
    with DeviceLock(GPU, 1).taken() as again:
        assert again


def test_a_worker_of_fewer_slots_waits_for_what_an_earlier_one_had_started_in_any() -> None:
    with ExitStack() as first, ExitStack() as second:
        assert first.enter_context(DeviceLock(GPU, 2).taken())
        assert second.enter_context(DeviceLock(GPU, 2).taken())
        first.close()
        with DeviceLock(GPU, 1).taken() as is_free:
            assert not is_free
        second.close()
        with DeviceLock(GPU, 1).taken() as is_free:
            assert is_free


def test_a_trainer_of_its_own_is_nothing_that_a_worker_waits_for() -> None:
    lock = DeviceLock(GPU, 2)
    with ExitStack() as held:
        assert held.enter_context(lock.taken())
        with subprocess.Popen(["sleep", "60"], pass_fds=lock.inherited) as trainer:
            assert lock.holders() == []
            held.close()
            assert lock.holders() == [trainer.pid]
            trainer.kill()


def test_a_worker_without_a_gpu_needs_no_lock() -> None:
    lock = DeviceLock(None, 1)
    with lock.taken() as first, lock.taken() as second:
        assert (first, second, lock.inherited) == (True, True, ())


def test_a_meeting_place_of_somebody_else_is_not_used(tmp_path: Path) -> None:
    (tmp_path / f"hone-{os.getuid()}").symlink_to(tmp_path)
    with pytest.raises(PermissionError, match="belongs to somebody else"):
        DeviceLock(GPU, 1)
