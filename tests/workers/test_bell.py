"""Listening to Redis: a worker knows whether it is heard, begins anew when it is deaf, and tells nobody its password."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import celery.worker
import pytest
import redis
from sqlalchemy import Engine

from app.config import Settings
from app.domain.bells import bell_of
from app.gateways.queue import CeleryQueue
from app.gateways.storage import LocalStorage
from app.launcher import prepare
from tests.faults.servers import Redis
from tests.waiting import until
from workers import bell
from workers.bell import Listener
from workers.celery_app import celery_app
from workers.worker import Worker

DEADLINE_SECONDS = 60.0
PASSWORD = "not-for-the-log-7f3a"
SUPERVISOR = [sys.executable, "-m", "workers.supervisor", "--queue", "cpu", "--alone"]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Redis]:
    server = Redis(tmp_path)
    yield server
    server.close()


@pytest.fixture
def worker(sqlite_engine: Engine, broker: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    """A worker of one slot whose bell is that Redis."""
    monkeypatch.setattr(bell, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(bell, "SILENT_LOOK_SECONDS", 0.1)
    celery_app.conf.broker_url = broker.url
    made = Worker(Settings(home=tmp_path), "cpu", 1, 2.0, sqlite_engine, LocalStorage(tmp_path), "CPU", has_gpu=False)
    made.wakes = [threading.Event()]
    yield made
    made.leaving.set()


def is_woken(worker: Worker, broker: Redis) -> bool:
    worker.wakes[0].clear()
    CeleryQueue(broker.url).ring("cpu")
    return worker.wakes[0].wait(DEADLINE_SECONDS)


def test_a_ring_is_heard_before_redis_goes_and_after_it_is_back(worker: Worker, broker: Redis) -> None:
    Listener(worker).start()
    # What it says of its bell is written last, after what it makes of it.
    until(lambda: bell_of(worker.says).in_words == "rung by Redis")
    assert worker.is_rung
    assert is_woken(worker, broker)
    broker.kill()
    until(lambda: bell_of(worker.says).in_words == "Redis does not answer; looks by itself")
    assert (worker.is_rung, bell_of(worker.says).is_silent) == (False, True)
    broker.start()
    until(lambda: bell_of(worker.says).in_words == "rung by Redis")
    assert worker.is_rung
    assert is_woken(worker, broker)


class Deaf:
    """A consumer that is connected and hears nothing, as Celery's sometimes is after Redis was away."""

    def __init__(self) -> None:
        self.stopped = threading.Event()

    def start(self) -> None:
        """Do nothing for as long as nobody minds."""
        self.stopped.wait()

    def stop(self) -> None:
        """Be replaced."""
        self.stopped.set()


def test_a_worker_that_is_deaf_begins_to_listen_anew(worker: Worker, broker: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    deaf, listener = Deaf(), Listener(worker)
    begin_anew = listener._replace
    consumers: Iterator[Callable[..., Any]] = iter([lambda **_: deaf, celery.worker.WorkController])

    def make(**options: object) -> Any:
        return next(consumers)(**options)

    def replace() -> None:
        monkeypatch.setattr(bell, "DEAF_SECONDS", 3600.0)  # the next one may take its time to connect
        begin_anew()

    monkeypatch.setattr(listener, "_replace", replace)
    monkeypatch.setattr(bell, "WorkController", make)
    listener.start()
    until(lambda: bell_of(worker.says).in_words == "Redis is there, but rings are not heard; looks by itself")
    monkeypatch.setattr(bell, "DEAF_SECONDS", 0.5)
    until(lambda: worker.is_rung)
    assert is_woken(worker, broker)
    assert deaf.stopped.wait(DEADLINE_SECONDS)


def test_while_redis_is_away_nothing_is_begun_anew(worker: Worker, broker: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bell, "DEAF_SECONDS", 0.0)
    broker.kill()
    replaced: list[int] = []
    listener, looks = Listener(worker), threading.Semaphore(0)
    monkeypatch.setattr(listener, "_note", lambda **_: looks.release())
    monkeypatch.setattr(listener, "_replace", lambda: replaced.append(1))
    listener.start()
    for _ in range(2):
        assert looks.acquire(timeout=DEADLINE_SECONDS)
    assert replaced == []


@pytest.mark.parametrize("server", ["refuses", "is away"])
def test_the_password_of_the_broker_is_in_no_log(broker: Redis, tmp_path: Path, server: str) -> None:
    prepare(Settings(home=tmp_path))
    with redis.Redis.from_url(broker.url) as client:
        client.config_set("requirepass", "another")
    if server == "is away":
        broker.kill()
    environment = os.environ | {"HONE_HOME": str(tmp_path), "HONE_REDIS_URL": broker.url.replace("//", f"//:{PASSWORD}@")}
    with subprocess.Popen(SUPERVISOR, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        lines = [process.stderr.readline()]
        while "Cannot connect to redis" not in lines[-1]:
            lines.append(process.stderr.readline())
            assert lines[-1], lines
        process.send_signal(signal.SIGTERM)
        lines += process.stderr.readlines()
    assert process.returncode == 0
    assert PASSWORD not in "".join(lines)
