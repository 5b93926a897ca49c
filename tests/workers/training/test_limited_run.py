"""A limit that the system itself holds: a planned step fits where the same step unplanned ends the run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from app.domain.events import AnyEvent, Started
from tests.workers.training.conftest import Train
from tests.workers.training.tiny import curve, last, make_model, notices, read_events, write_spec

BEYOND = 200_000_000
"""Bytes of addresses; the step takes about three times as many, planned it takes fewer."""
SETTINGS = {"max_steps": 1, "batch_size": 16, "max_length": 256}


def write_long_rows(path: Path) -> Path:
    """Write rows of some 220 tokens that begin differently."""
    with path.open("w") as file:
        for number in range(20):
            question = f"{number}" + "".join(chr(97 + (number * 7 + place**2) % 26) for place in range(210))
            messages = [{"role": "user", "content": question}, {"role": "assistant", "content": "blue"}]
            file.write(json.dumps({"messages": messages}) + "\n")
    return path


@pytest.mark.slow
def test_a_planned_step_fits_where_the_system_refuses_it_unplanned(train_here: Train, tmp_path: Path) -> None:
    base, rows = make_model(tmp_path / "base", hidden=256, layers=8, spread=0.05), write_long_rows(tmp_path / "rows.jsonl")
    _, unlimited = train_here(base=base, rows=rows, out="unlimited", **SETTINGS)
    spec = write_spec(tmp_path, base, rows, **SETTINGS)
    ways = {"planned": 0, "unplanned": 1}
    here = [sys.executable, "-m", "tests.workers.training.limited_run", str(spec)]
    running = {way: subprocess.Popen([*here, str(tmp_path / way), str(BEYOND), way]) for way in ways}
    assert {way: process.wait(120) for way, process in running.items()} == ways
    planned, unplanned = (read_events(tmp_path / way) for way in ways)
    assert last(unplanned).code == "out_of_memory_host"
    assert "this process's share of the memory" in notices(planned)
    assert started(planned).data["probe"] == "tried"
    assert curve(planned) == pytest.approx(curve(unlimited), rel=1e-6)


def started(events: list[AnyEvent]) -> Started:
    """Return what was told when training began."""
    return next(event for event in events if isinstance(event, Started))
