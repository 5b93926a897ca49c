"""A real run of the trainer seen from outside: the most memory its process ever held, and how long each of its steps took.

One thread computes, so the trainer makes no replicas (workers/training/replicas.py) and the process that is watched is the whole run.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import yaml

from app.domain.events import Finished, Metric, Started, parse_event

if TYPE_CHECKING:
    from app.domain.events import AnyEvent

ROOT = Path(__file__).resolve().parents[1]
ONE_THREAD = {"HONE_TRAINER_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
LOOK_SECONDS = 0.05
BASELINE = """
import importlib
from workers.warm import LIBRARIES
for name in ("workers.train", *LIBRARIES):
    importlib.import_module(name)
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
"""
"""Imports what a trainer imports, and tells the most memory it has held, in KiB."""


@dataclass
class Watched:
    """What was seen of one run."""

    peak_bytes: int = 0
    """Resident memory of the trainer's process at its highest, libraries and all; on a GPU what torch had allocated there."""
    started: dict[str, Any] = field(default_factory=dict)
    steps: list[float] = field(default_factory=list)
    """Seconds of each step, from what was told before it to its first number."""
    startup_seconds: float = 0.0
    metrics: dict[str, float] = field(default_factory=dict)
    """The last value of each."""


class RunFailed(SystemExit):
    """The trainer ended without a result."""


def import_baseline() -> int:
    """Return the bytes a process holds that has imported what every trainer imports, and done nothing with it."""
    said = subprocess.run(
        [sys.executable, "-c", BASELINE], cwd=ROOT, env=os.environ | ONE_THREAD, check=True, capture_output=True, text=True
    )
    return int(said.stdout) * 1024


def watch(spec: dict[str, Any], folder: Path) -> Watched:
    """Train as a spec says, with one thread, in `folder`; return what was seen."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "spec.yaml"
    path.write_text(yaml.safe_dump(spec), encoding="utf-8")
    reading, writing = os.pipe()
    command = [sys.executable, "-m", "workers.train", str(path), "--out", str(folder / "out"), "--events-fd", str(writing)]
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(
            command, cwd=ROOT, env=os.environ | ONE_THREAD, pass_fds=[writing], stdin=subprocess.PIPE, stdout=log, stderr=log
        ) as process,
        os.fdopen(reading, "rb", buffering=0) as events,
    ):
        os.close(writing)
        return _followed(process, events)


def _followed(process: subprocess.Popen[bytes], events: IO[bytes]) -> Watched:
    seen, begun, rest = Watched(), time.perf_counter(), b""
    told = begun
    while True:
        if select.select([events], [], [], LOOK_SECONDS)[0]:
            part = os.read(events.fileno(), 1 << 20)
            if not part:
                return seen
            *lines, rest = (rest + part).split(b"\n")
            for line in lines:
                now = time.perf_counter()
                _note(seen, parse_event(line), now - told, now - begun)
                told = now
        seen.peak_bytes = max(seen.peak_bytes, _peak_of(process.pid))


def _note(seen: Watched, event: AnyEvent, since_last: float, since_start: float) -> None:
    if isinstance(event, Started):
        seen.started, seen.startup_seconds = event.data, since_start
    elif isinstance(event, Metric):
        seen.metrics[event.name] = event.value
        if event.name == "train/learning_rate":  # the first number of each step
            seen.steps.append(since_last)
    elif isinstance(event, Finished) and event.status != "succeeded":
        raise RunFailed(f"The trainer failed: {event.reason}")


def _peak_of(process: int) -> int:
    """Return the most resident memory a process has held; what it held before it became Python does not count. 0 once it is gone."""
    try:
        lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)
