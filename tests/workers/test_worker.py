"""A worker's sign of life, and what it tells besides."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from structlog.testing import capture_logs

import workers.supervisor
import workers.worker
from app.config import Settings
from app.db import WorkerRow
from app.db.session import reading
from app.domain.devices import from_facts
from app.gateways.storage import LocalStorage
from tests.waiting import until
from workers.kinds import Kind
from workers.worker import Worker


@pytest.fixture
def worker(engine: Engine, tmp_path: Path) -> Iterator[Worker]:
    made = Worker(
        Settings(home=tmp_path, lease_seconds=1), "cpu", 1, 2.0, engine, LocalStorage(tmp_path / "artifacts"), "CPU", has_gpu=False
    )
    yield made
    made.leaving.set()
    made.left.set()


def row_of(worker: Worker) -> WorkerRow:
    with reading(worker.engine) as session:
        return session.get_one(WorkerRow, worker.id)


def once_it_gave_a_sign(worker: Worker) -> WorkerRow:
    """Return the worker's row as soon as it was written again, with its memory in it."""
    first = row_of(worker)

    def later() -> WorkerRow | None:
        last = row_of(worker)
        return last if from_facts(last.facts) and last.updated_at > first.updated_at else None

    return until(later)


def test_a_sign_of_life_tells_of_the_memory_and_keeps_what_else_is_known(worker: Worker) -> None:
    worker.register(lambda _: None)
    last = once_it_gave_a_sign(worker)
    [machine] = from_facts(last.facts)
    assert (machine.kind, machine.total_bytes > machine.used_bytes > 0) == ("cpu", True)
    assert {"slots", "process_space"} <= last.facts.keys()
    assert last.host == worker.host


def test_a_sweep_that_takes_long_costs_no_sign_of_life(worker: Worker) -> None:
    sweeping, over = threading.Event(), threading.Event()

    def sweep(_: Worker) -> None:
        sweeping.set()
        over.wait(120)

    worker.register(sweep)
    assert sweeping.wait(60)
    once_it_gave_a_sign(worker)
    over.set()


def test_a_worker_that_leaves_says_that_it_lives_until_the_last_of_what_it_does_is_over(worker: Worker) -> None:
    worker.register(lambda _: None)
    worker.tell_to_leave()
    once_it_gave_a_sign(worker)
    worker.leave()
    assert row_of(worker).left_at is not None


def test_a_worker_leaves_without_the_database_too(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_: Engine) -> None:
        raise OperationalError("UPDATE", {}, Exception("server closed the connection"))

    monkeypatch.setattr(workers.worker, "unit_of_work", away)
    worker.leave()


def test_a_slot_tells_a_database_that_is_away_from_what_nobody_foresaw(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    trouble = iter([PoolTimeout(), IntegrityError("INSERT", {}, Exception("duplicate key"))])

    def fail(_: Worker, _kinds: Sequence[Kind]) -> bool:
        error = next(trouble, None)
        if error is None:
            worker.leaving.set()
            return False
        raise error

    monkeypatch.setattr(workers.supervisor, "claim_and_run", fail)
    monkeypatch.setattr(workers.supervisor, "kinds_of", lambda _: [])
    with capture_logs() as told:
        [slot] = workers.supervisor.poll(worker, every=0.01)
        slot.join()
    assert [entry["log_level"] for entry in told] == ["warning", "error"]
    assert told[1]["exc_info"]


def test_what_mostly_waits_has_a_place_of_its_own_beside_what_computes(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[tuple[str, ...]] = []

    def take(_: Worker, kinds: Sequence[Kind]) -> bool:
        taken.append(tuple(kind.table.__tablename__ for kind in kinds))
        worker.leaving.set()
        return False

    monkeypatch.setattr(workers.supervisor, "claim_and_run", take)
    threads = workers.supervisor.poll(worker, every=0.01)
    worker.leaving.set()
    for thread in threads:
        thread.join()
    assert len(threads) == len(worker.wakes) == 3
    assert {*taken} <= {("imports",), ("baselines",), ("downloads",)}
