"""A worker whose trainers play scenarios: what tests of the lease stand on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select

from app.config import Settings
from app.db import EventRow, Run
from app.db.session import reading, unit_of_work
from app.domain.events import Finished
from app.domain.ports import Queue
from app.gateways.storage import LocalStorage
from app.services.accounts import Identity
from app.services.datasets import Datasets
from app.services.runs import Runs
from tests.databases import add_dataset, add_run
from tests.silent_queue import SilentQueue
from tests.waiting import until
from workers.child import Child
from workers.claim import claim_and_run
from workers.kinds import KINDS
from workers.training_work import PackedAdapter, TrainingWork
from workers.worker import Worker


class Scripted(TrainingWork):
    """Training whose child plays a scenario instead of training."""

    def __init__(self, scenario: str, folder: Path) -> None:
        self.scenario, self.folder = scenario, folder

    def prepare(self, worker: Worker, work_id: str, token: int) -> Callable[[], Child]:
        arguments = ["tests.workers.scripted_child", self.scenario, "--lease-token", str(token)]
        return lambda: Child(arguments, folder=self.folder, log_file=self.folder / "log.txt")

    def package(self, worker: Worker, work_id: str, token: int, finished: Finished | None) -> PackedAdapter | None:
        if finished is None and self.scenario != "dies after a checkpoint":
            return None
        adapter = worker.storage.incoming / f"adapter-{work_id}-t{token}.zip"
        adapter.write_bytes(b"weights")
        return PackedAdapter(worker.storage.seal(adapter), None if finished else 1)


@pytest.fixture
def worker(engine: Engine, tmp_path: Path) -> Iterator[Worker]:
    made = Worker(Settings(home=tmp_path), "gpu", 1, 2.0, engine, LocalStorage(tmp_path / "artifacts"), "CPU", has_gpu=False)
    yield made
    made.tell_to_leave()


Play = Callable[[str], None]


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, worker: Worker) -> Play:
    def run(scenario: str) -> None:
        monkeypatch.setitem(KINDS, "run", Scripted(scenario, tmp_path))
        assert claim_and_run(worker)

    return run


@pytest.fixture
def run_id(engine: Engine, owner: Identity) -> str:
    return add_run(engine, owner, add_dataset(engine, owner))


def state(engine: Engine, run_id: str) -> Run:
    with reading(engine) as session:
        return session.get_one(Run, run_id)


def ask(engine: Engine, owner: Identity, run_id: str, action: str, storage: Any = None) -> None:
    queue: Queue = SilentQueue()
    nothing: Any = None
    with unit_of_work(engine) as session:
        Runs(session, queue, Datasets(session, storage, queue), nothing).act(owner, run_id, action)


def once_it_runs(engine: Engine, run_id: str, act: Callable[[], None], *, status: str = "running") -> threading.Thread:
    """Do something from another thread as soon as the run runs, or is in another state."""

    def wait_and_act() -> None:
        until(lambda: state(engine, run_id).status == status)
        act()

    thread = threading.Thread(target=wait_and_act)
    thread.start()
    return thread


def kinds_of(engine: Engine, run_id: str) -> list[str]:
    with reading(engine) as session:
        return list(session.scalars(select(EventRow.type).where(EventRow.subject_id == run_id).order_by(EventRow.id)))
