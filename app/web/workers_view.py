"""Workers as pages show them: what they are, what they do, when they were heard of last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.web import looks

if TYPE_CHECKING:
    from app.db import WorkerRow
    from app.web.looks import Look
    from app.web.visit import Visit

QUEUES = {"gpu": "training", "cpu": "reading files"}
LATE_SECONDS = 25.0
"""Heartbeats come every fifteen seconds; one that is this late is worth a word."""


@dataclass(frozen=True)
class Line:
    """One worker in a list."""

    worker: WorkerRow
    silent: float
    work: str | None

    @property
    def queue(self) -> str:
        """What it takes work from, in words."""
        return QUEUES.get(self.worker.queue, self.worker.queue)

    @property
    def look(self) -> Look:
        """Its state as shown."""
        if self.silent > LATE_SECONDS:
            return looks.WORKER_SILENT
        return looks.WORKER_BUSY if self.worker.busy_with else looks.WORKER_IDLE


def read(visit: Visit) -> list[Line]:
    """Return the workers that are alive, with what each is busy with."""
    alive, silent = visit.workers.alive(), visit.workers.silent_seconds()
    names = visit.overview.run_names([worker.busy_with for worker in alive])
    return [Line(worker, silent.get(worker.id, 0.0), names.get(worker.busy_with)) for worker in alive]
