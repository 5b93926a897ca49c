"""Without Redis, a worker in the same home hears at once that there is work for it."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from app.gateways.queue import HomeQueue, make_queue
from tests.workers.scenes import worker
from workers import supervisor
from workers.home_bell import HomeBell
from workers.worker import Worker

__all__ = ["worker"]


@pytest.fixture
def bells(worker: Worker) -> Path:
    return worker.settings.bells


def hears(wake: threading.Event, seconds: float = 20.0) -> bool:
    heard = wake.wait(seconds)
    wake.clear()
    return heard


def test_a_ring_wakes_every_slot_of_its_queue_alone(worker: Worker, bells: Path) -> None:
    worker.wakes = [threading.Event(), threading.Event()]
    HomeBell(worker).start()
    queue = make_queue(None, bells)
    queue.ring("cpu")
    assert not hears(worker.wakes[0], 0.2)
    for _ in range(2):
        queue.ring("gpu")
        assert all(map(hears, worker.wakes))


def test_a_rung_worker_looks_at_once(worker: Worker, bells: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[float] = []

    def look(_: Worker) -> bool:
        looks.append(time.monotonic())
        return False

    monkeypatch.setattr(supervisor, "claim_and_run", look)
    threads = supervisor.poll(worker, every=60.0)
    HomeBell(worker).start()
    while not looks:
        time.sleep(0.01)
    HomeQueue(bells).ring("gpu")
    deadline = time.monotonic() + 20
    while len(looks) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    worker.tell_to_leave()
    for thread in threads:
        thread.join()
    assert len(looks) >= 2


def test_pipes_of_workers_that_are_gone_harm_nobody_and_are_cleared_away(worker: Worker, bells: Path) -> None:
    bells.mkdir()
    os.mkfifo(bells / "gpu.gone")
    os.mkfifo(bells / ".gpu.just-being-made")
    HomeQueue(bells).ring("gpu")
    HomeBell(worker).start()
    assert sorted(pipe.name for pipe in bells.iterdir()) == [".gpu.just-being-made", f"gpu.{worker.id}"]


def test_a_home_that_takes_no_pipes_costs_a_second_and_no_worker(worker: Worker, bells: Path) -> None:
    bells.write_text("no folder")
    HomeBell(worker).start()
    HomeQueue(bells).ring("gpu")
