"""The Celery doorbell on a real Redis: a ring wakes a worker that would not have looked for an hour."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine

from app.config import Settings
from app.db import Dataset, Import, WorkerRow
from app.db.session import make_engine, reading, unit_of_work
from app.domain.bells import bell_of
from app.domain.ports import Brought
from app.gateways.queue import CeleryQueue
from app.gateways.storage import LocalStorage
from app.launcher import prepare
from app.services.accounts import Accounts
from app.services.datasets import Datasets
from tests.databases import add_dataset, add_run
from tests.faults.servers import Redis
from tests.waiting import until
from tests.workers.scenes import state

WORKER = """
import workers.supervisor as supervisor, workers.worker
supervisor.POLL_SECONDS = supervisor.RUNG_POLL_SECONDS = 3600.0
workers.worker.SIGN_OF_LIFE_SECONDS = 0.5
supervisor.main()
"""
"""It says soon that it is rung; its leases are as long as any, so that none is lost where the machine is busy."""
TRAINS_FOR_EVER = """
from pathlib import Path
import workers.supervisor, workers.worker
from tests.workers.scenes import Scripted
from workers.kinds import KINDS
KINDS["run"] = Scripted("waits", Path("{home}"))
workers.worker.SIGN_OF_LIFE_SECONDS = 0.5
workers.supervisor.main()
"""
HEARD_SECONDS = 60.0


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    server = Redis(tmp_path)
    yield server.url
    server.close()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    prepare(Settings(home=tmp_path / "home"))
    return tmp_path / "home"


@contextmanager
def started(program: str, queue: str, home: Path, redis_url: str) -> Iterator[subprocess.Popen[bytes]]:
    environment = os.environ | {"HONE_HOME": str(home), "HONE_REDIS_URL": redis_url}
    process = subprocess.Popen([sys.executable, "-c", program, "--queue", queue, "--alone"], env=environment)
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def worker(home: Path, redis_url: str) -> Iterator[subprocess.Popen[bytes]]:
    with started(WORKER, "cpu", home, redis_url) as process:
        yield process


def is_read(engine: Engine) -> bool:
    with reading(engine) as session:
        return session.query(Dataset).filter_by(status="ready").count() > 0


def is_heard(engine: Engine) -> bool:
    with reading(engine) as session:
        return any(bell_of(row.facts).is_heard for row in session.query(WorkerRow))


def test_a_ring_starts_the_work_and_a_doubled_one_does_no_harm(home: Path, redis_url: str, worker: subprocess.Popen[bytes]) -> None:
    engine = make_engine(Settings(home=home).database)
    until(lambda: is_heard(engine))
    storage, queue = LocalStorage(home / "artifacts"), CeleryQueue(redis_url)
    upload = storage.incoming / "rows.jsonl"
    upload.write_text('{"prompt": "a", "completion": "b"}\n{"prompt": "c", "completion": "d"}\n')
    with unit_of_work(engine) as session:
        owner = Accounts(session).owner()
        assert owner is not None
        Datasets(session, storage, queue).create(owner, name="rows", files=[Brought("rows.jsonl", upload)])
    queue.ring("cpu")
    until(lambda: is_read(engine))
    with reading(engine) as session:
        [done] = [work for work in session.query(Import) if work.task["kind"] == "import"]
        assert (done.status, done.attempt) == ("succeeded", 1)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(60) == 0
    with reading(engine) as session:
        assert session.query(WorkerRow).one().left_at is not None
    engine.dispose()


def test_a_busy_worker_hears_at_once_that_it_has_to_leave(home: Path, redis_url: str) -> None:
    engine = make_engine(Settings(home=home).database)
    with unit_of_work(engine) as session:
        owner = Accounts(session).ensure_owner()
    run_id = add_run(engine, owner, add_dataset(engine, owner))
    with started(TRAINS_FOR_EVER.format(home=home), "gpu", home, redis_url) as worker:
        until(lambda: state(engine, run_id).status == "running")
        until(lambda: is_heard(engine))
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(HEARD_SECONDS) == 0
    run = state(engine, run_id)
    assert (run.status, run.attempt, run.crashes_since_progress) == ("queued", 1, 0)
    engine.dispose()


def test_a_bell_without_a_broker_costs_nothing_but_speed() -> None:
    CeleryQueue("redis://127.0.0.1:1/0").ring("gpu")
