"""Real workers with real trainers on a tiny base, in a home of the test's own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import Engine, update

from app.config import Settings
from app.db import Run
from app.db.artifacts import Artifact
from app.db.session import reading, unit_of_work
from app.domain.specs import TrainingSettings
from app.gateways.storage import LocalStorage
from app.services.accounts import Identity
from app.services.datasets import Datasets
from app.services.runs import Runs
from tests.conftest import ROOT
from tests.databases import add_dataset, add_run
from tests.faults.harness.chaos import be_patient
from tests.silent_queue import SilentQueue
from tests.workers.training.tiny import make_model, write_rows

ENDLESS = 1_000_000
PATIENCE_SECONDS = 300.0
"""A generous deadline: a trainer is there within seconds on a quiet machine."""
SMALL = {"batch_size": 4, "precision": "fp32", "device": "cpu", "max_length": 128, "rank": 4, "dropout": 0.1}


@dataclass
class Training:
    """A home with rows and a base, whose runs real workers take."""

    engine: Engine
    owner: Identity
    home: Path
    base: Path
    dataset_id: str

    def launch(self, **settings: Any) -> str:
        """Queue a run that trains until somebody ends it; return its id."""
        wanted = TrainingSettings.model_validate(SMALL | {"max_steps": ENDLESS} | settings)
        spec = {"base_model": str(self.base), "dataset": "rows", "settings": wanted.model_dump(mode="json")}
        return add_run(self.engine, self.owner, self.dataset_id, base_model=str(self.base), spec=spec, total_steps=wanted.max_steps)

    def run(self, run_id: str) -> Run:
        """Return a run as it stands."""
        with reading(self.engine) as session:
            return session.get_one(Run, run_id)

    def ask(self, run_id: str, action: str) -> None:
        """Do what a person does on the run's page."""
        queue, nothing = SilentQueue(), None
        with unit_of_work(self.engine) as session:
            runs: Any = Runs(session, queue, Datasets(session, nothing, queue), nothing)  # type: ignore[arg-type]
            runs.act(self.owner, run_id, action)

    @contextmanager
    def worker(self, program: str = "workers.supervisor", *, slots: int = 1) -> Iterator[subprocess.Popen[bytes]]:
        """Start a worker process for the time of a with block."""
        command = [sys.executable, "-m", program, "--queue", "gpu", "--alone", "--slots", str(slots)]
        settings = {"HONE_HOME": str(self.home), "HONE_TRAINER_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        with (self.home / "workers.log").open("ab") as log:
            process = subprocess.Popen(command, cwd=ROOT, env=os.environ | settings, stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def processes(self) -> dict[int, str]:
        """Return the trainers of this home that are there, what they were called with and where they are; one that waited names no run."""
        found = {}
        for process in psutil.process_iter():
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                line = " ".join([*process.cmdline(), process.cwd()])
                if str(self.home / "runs") in line and process.status() != psutil.STATUS_ZOMBIE:
                    found[process.pid] = line
        return found

    def trainers_of(self, run_id: str) -> list[int]:
        """Return the processes that work on a run."""
        return [pid for pid, line in self.processes().items() if run_id in line]


def prepare(engine: Engine, owner: Identity, home: Path) -> Training:
    """Put a tiny base and sixty rows into a home, whose database `engine` is."""
    be_patient(engine)  # beside several trainers a test may wait longer for the lock than people should
    base = make_model(home / "tiny-base")
    dataset_id = add_dataset(engine, owner)
    storage = LocalStorage(Settings(home=home).store)
    sealed = storage.seal(write_rows(storage.incoming / "rows.jsonl"))
    storage.put(sealed)
    with unit_of_work(engine) as session:
        session.execute(update(Artifact).values(sha256=sealed.sha256))
    return Training(engine, owner, home, base, dataset_id)


def freeze(pids: list[int]) -> None:
    """Stop processes where they stand."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
