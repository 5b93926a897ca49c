"""A trainer that waits takes nothing of a GPU, and the run it becomes trains there."""

from __future__ import annotations

from pathlib import Path

import pynvml
import pytest

from app.domain.events import Started
from tests.waiting import until
from tests.workers.training.test_warm_run import heard
from tests.workers.training.tiny import last, write_spec
from workers.child import Child
from workers.warm_trainers import WarmTrainers

pytestmark = pytest.mark.gpu


def on_gpus() -> set[int]:
    """Return the processes that have a context on any GPU."""
    pynvml.nvmlInit()
    devices = map(pynvml.nvmlDeviceGetHandleByIndex, range(pynvml.nvmlDeviceGetCount()))
    return {process.pid for device in devices for process in pynvml.nvmlDeviceGetComputeRunningProcesses(device)}


def test_what_waits_has_no_context_and_its_run_has(base: Path, rows: Path, tmp_path: Path) -> None:
    keeper = WarmTrainers()
    before = on_gpus()
    keeper.start()
    until(keeper.is_ready)
    # By number of processes, for a container does not know its own as the driver does.
    assert len(on_gpus() - before) == 0
    spec = write_spec(tmp_path, base, rows, max_steps=200, device="gpu", precision="auto")
    child = Child(["workers.train", str(spec), "--out", str(tmp_path)], folder=tmp_path, log_file=tmp_path / "log.txt", warm=keeper)
    events, _ = child.drain(120)
    while not any(isinstance(event, Started) for event in events):
        events += child.drain(1)[0]
    assert len(on_gpus() - before) == 1
    events += heard(child)
    keeper.close()
    assert child.was_warm
    assert last(events).status == "succeeded"
