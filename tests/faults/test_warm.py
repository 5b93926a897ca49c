"""Nothing is left of a warm trainer, whether it waits or works, however its run or its worker ends."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import psutil
import pytest
from sqlalchemy import Engine

from app.gateways.lifeline import is_running
from app.services.accounts import Identity
from tests.faults.real_training import PATIENCE_SECONDS, Training
from tests.faults.stocked import add_rows
from tests.waiting import until

WORKER = "tests.faults.warm_worker"
EMPTY = (2).to_bytes(8, "little") + b"{}"
"""A file of weights without any: nothing but the length of its header, and that."""


@pytest.fixture
def training(engine: Engine, owner: Identity, tmp_path: Path) -> Training:
    base = tmp_path / "base"
    base.mkdir()
    (base / "config.json").write_text(json.dumps({"model_type": "llama"}))
    (base / "model.safetensors").write_bytes(EMPTY)
    return Training(engine, owner, tmp_path, base, add_rows(engine, tmp_path, owner))


def until_ready(training: Training, number: int) -> None:
    until(lambda: (training.home / "workers.log").read_text().count("a warm trainer is ready") == number)


def launch(training: Training, number: int) -> str:
    """Launch a run as soon as so many have become ready, and return it once it is at work and the next one waits."""
    until_ready(training, number)
    run_id = training.launch()
    until(lambda: training.run(run_id).status == "running")
    assert ["warm_child" in line for line in training.processes().values()] == [True]
    until_ready(training, number + 1)
    return run_id


def family_of(worker: subprocess.Popen[bytes]) -> list[int]:
    """Return the one that works and the one that waits."""
    found = [child.pid for child in psutil.Process(worker.pid).children()]
    assert len(found) == 2
    return found


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_nothing_is_left_of_warm_trainers_after_a_cancel_a_leave_and_a_kill(training: Training) -> None:
    with training.worker(WORKER) as worker:
        cancelled = launch(training, 1)
        training.ask(cancelled, "cancel")
        until(lambda: training.run(cancelled).status == "cancelled")
        assert training.processes() == {}
        interrupted = launch(training, 2)
        family = family_of(worker)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(PATIENCE_SECONDS) == 0
        assert not any(map(is_running, family))
        assert training.run(interrupted).status == "queued"
        training.ask(interrupted, "cancel")
    with training.worker(WORKER) as worker:
        launch(training, 4)
        family = family_of(worker)
        worker.kill()
        until(lambda: not any(map(is_running, family)))
        assert training.processes() == {}
