"""Without Redis, a worker in the same home hears at once that there is work for it."""

from __future__ import annotations

import errno
import os
import threading
import time
from pathlib import Path

import pytest

from app.gateways.queue import HomeQueue, make_queue
from tests.waiting import PATIENCE_SECONDS, until
from tests.workers.scenes import worker
from workers import supervisor
from workers.home_bell import OLD_SECONDS, HomeBell
from workers.worker import Worker

__all__ = ["worker"]


@pytest.fixture
def bells(worker: Worker) -> Path:
    return worker.settings.bells


def hears(wake: threading.Event, seconds: float = PATIENCE_SECONDS) -> bool:
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

    def look(_: Worker, _kinds: object) -> bool:
        looks.append(time.monotonic())
        return False

    monkeypatch.setattr(supervisor, "claim_and_run", look)
    threads = supervisor.poll(worker, every=3600.0)
    HomeBell(worker).start()
    until(lambda: looks)
    HomeQueue(bells).ring("gpu")
    until(lambda: len(looks) >= 2)
    worker.tell_to_leave()
    for thread in threads:
        thread.join()


def test_pipes_of_workers_that_are_gone_harm_nobody_and_are_cleared_away(worker: Worker, bells: Path) -> None:
    bells.mkdir()
    for name in ("gpu.killed", ".gpu.killed-as-it-was-made", "gpu.of-another-machine"):
        os.mkfifo(bells / name)
        os.utime(bells / name, times=(0, time.time() - 2 * OLD_SECONDS))
    os.utime(bells / "gpu.of-another-machine")
    HomeQueue(bells).ring("gpu")
    HomeBell(worker).start()
    assert {pipe.name for pipe in bells.iterdir()} == {f"gpu.{worker.id}", "gpu.of-another-machine"}


def test_a_worker_that_only_cannot_look_just_now_clears_nobody_away(worker: Worker, bells: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bells.mkdir()
    os.mkfifo(bells / "gpu.old")
    os.utime(bells / "gpu.old", times=(0, 0))

    def fail(*_: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("os.open", fail)
    HomeBell(worker).start()
    assert (bells / "gpu.old").exists()


def test_a_worker_that_leaves_takes_its_pipe_along(worker: Worker, bells: Path) -> None:
    bell = HomeBell(worker)
    bell.start()
    bell.stop()
    assert list(bells.iterdir()) == []


def test_a_home_that_takes_no_pipes_costs_a_second_and_no_worker(worker: Worker, bells: Path) -> None:
    bells.write_text("no folder")
    HomeBell(worker).start()
    HomeQueue(bells).ring("gpu")
