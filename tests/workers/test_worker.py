"""A worker's sign of life, and what it tells besides."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from app.config import Settings
from app.db import WorkerRow
from app.db.session import reading
from app.domain.devices import from_facts
from app.gateways.storage import LocalStorage
from tests.databases import engine, migrated_sqlite, postgresql_url, sqlite_engine
from workers.worker import Worker

__all__ = ["engine", "migrated_sqlite", "postgresql_url", "sqlite_engine"]


@pytest.fixture
def worker(engine: Engine, tmp_path: Path) -> Iterator[Worker]:
    made = Worker(
        Settings(home=tmp_path, lease_seconds=1), "cpu", 1, 2.0, engine, LocalStorage(tmp_path / "artifacts"), "CPU", has_gpu=False
    )
    yield made
    made.leaving.set()


def row_of(worker: Worker) -> WorkerRow:
    with reading(worker.engine) as session:
        return session.get_one(WorkerRow, worker.id)


def test_a_sign_of_life_tells_of_the_memory_and_keeps_what_else_is_known(worker: Worker) -> None:
    turns = threading.Semaphore(0)

    def sweep(_: Worker) -> None:
        turns.release()

    worker.register(sweep)
    first = row_of(worker)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        assert turns.acquire(timeout=30)
        last = row_of(worker)
        if from_facts(last.facts) and last.updated_at > first.updated_at:
            break
    [machine] = from_facts(last.facts)
    assert (machine.kind, machine.total_bytes > machine.used_bytes > 0) == ("cpu", True)
    assert last.updated_at > first.updated_at
    assert {"slots", "process_space"} <= last.facts.keys()
    assert last.host == worker.host
