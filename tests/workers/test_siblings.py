"""`hone worker` on a machine with two GPUs: a worker for each, and none is left behind, however they end."""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from app.config import Settings
from app.db import WorkerRow
from app.db.session import make_engine, reading
from app.gateways.environment import child_environment
from app.launcher import prepare
from tests.driver import driver
from workers.supervisor import _gpu

__all__ = ["driver"]
HONE = [sys.executable, "-c", "from app.cli import main; main()"]
DEADLINE_SECONDS = 60


@pytest.fixture
def home(tmp_path: Path) -> Path:
    prepare(Settings(home=tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def siblings(home: Path, driver: Path) -> Iterator[subprocess.Popen[str]]:
    assert driver.is_file()
    command = [*HONE, "worker", "--queue", "gpu", "--home", str(home), "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    yield process
    process.kill()
    process.communicate()


def read_ready(process: subprocess.Popen[str]) -> list[dict[str, Any]]:
    assert process.stdout is not None
    return [json.loads(process.stdout.readline()) for _ in range(2)]


@pytest.mark.parametrize(("device", "uuid"), [(None, "GPU-0aa"), ("1", "GPU-1bb"), ("GPU-1", "GPU-1bb")])
@pytest.mark.usefixtures("driver")
def test_a_trainer_sees_its_workers_gpu_and_no_other(monkeypatch: pytest.MonkeyPatch, device: str | None, uuid: str) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    gpu = _gpu(argparse.Namespace(queue="gpu", device=device))
    assert gpu is not None
    assert (gpu.uuid, child_environment(own="HONE_TRAINER_")["CUDA_VISIBLE_DEVICES"]) == (uuid, uuid)


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_each_gpu_has_a_worker_and_none_outlives_the_family(home: Path, siblings: subprocess.Popen[str], end: signal.Signals) -> None:
    ready = read_ready(siblings)
    assert sorted(worker["device"] for worker in ready) == ["NVIDIA L4", "NVIDIA T4"]
    children = psutil.Process(siblings.pid).children(recursive=True)
    siblings.send_signal(end)
    assert siblings.wait(DEADLINE_SECONDS) == (0 if end == signal.SIGTERM else -signal.SIGKILL)
    _, alive = psutil.wait_procs(children, timeout=DEADLINE_SECONDS)
    assert alive == []
    assert len(children) == 2
    with reading(make_engine(Settings(home=home).database)) as session:
        assert [row.left_at is not None for row in session.query(WorkerRow)] == [True, True]


def test_one_that_dies_is_started_again(siblings: subprocess.Popen[str]) -> None:
    read_ready(siblings)
    first = psutil.Process(siblings.pid).children()[0]
    first.kill()
    assert siblings.stdout is not None
    assert json.loads(siblings.stdout.readline())["device"] in {"NVIDIA L4", "NVIDIA T4"}
