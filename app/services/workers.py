"""Who works here, and whether they are alive."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from sqlalchemy import select

from app.db import WorkerRow
from app.db.base import database_clock, utc_now
from app.db.leases import LEASE_SECONDS
from app.db.workers import is_alive
from app.domain.devices import Device, from_facts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy.orm import Session


LATE_SECONDS = 25.0
"""Signs of life come every few seconds; one that is this late is worth a word."""
LOST_FOR_SECONDS = 24 * 3600.0


class WorkerState(StrEnum):
    """What a worker is at, by its own word or by its silence."""

    IDLE = "idle"
    BUSY = "busy"
    SILENT = "silent"
    LOST = "lost"


@dataclass(frozen=True)
class Known:
    """A worker, and how long ago its last sign of life was."""

    row: WorkerRow
    silent_seconds: float

    @property
    def state(self) -> WorkerState:
        """What it is at; after a lease of silence it counts as lost, and what it held goes to another."""
        if self.silent_seconds >= LEASE_SECONDS:
            return WorkerState.LOST
        if self.silent_seconds > LATE_SECONDS:
            return WorkerState.SILENT
        return WorkerState.BUSY if self.row.busy_with else WorkerState.IDLE

    @property
    def devices(self) -> list[Device]:
        """Its devices as it saw them last; none where it tells of none."""
        return from_facts(self.row.facts)


class Workers:
    """The worker processes of this studio."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def alive(self) -> Sequence[WorkerRow]:
        """Return the workers heard of within a lease, by queue."""
        return self.session.scalars(select(WorkerRow).where(is_alive()).order_by(WorkerRow.queue, WorkerRow.id)).all()

    def strike_off_dead(self, here: str, is_running: Callable[[int], bool]) -> None:
        """Note that workers of the process space `here` have left whose process is gone, as after a kill -9."""
        for row in self.session.scalars(select(WorkerRow).where(WorkerRow.left_at.is_(None))):
            if here and row.facts.get("process_space") == here and not is_running(row.pid):
                row.left_at, row.busy_with = utc_now(), None

    def known(self) -> list[Known]:
        """Return the workers that have not left, by queue: those that live, and after them those that were lost within a day."""
        age = (database_clock() - WorkerRow.updated_at).label("age")
        here = select(WorkerRow, age).where(WorkerRow.left_at.is_(None), age < LOST_FOR_SECONDS)
        found = [
            Known(row, max(0.0, float(silent))) for row, silent in self.session.execute(here.order_by(WorkerRow.queue.desc(), WorkerRow.id))
        ]
        return sorted(found, key=lambda known: known.state == WorkerState.LOST)
