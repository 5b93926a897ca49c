"""Who works here, and whether they are alive."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from sqlalchemy import select

from app.db import Run, WorkerRow
from app.db.base import database_clock, utc_now
from app.db.workers import is_alive
from app.domain.bells import Bell, bell_of
from app.domain.devices import Device, from_facts
from app.domain.runs import LEASED

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
    """A worker, how long ago its last sign of life was, and what it works on."""

    row: WorkerRow
    silent_seconds: float
    is_alive: bool
    work_ids: tuple[str, ...]

    @property
    def state(self) -> WorkerState:
        """What it is at; after a lease of silence it counts as lost, and what it held goes to another."""
        if not self.is_alive:
            return WorkerState.LOST
        if self.silent_seconds > LATE_SECONDS:
            return WorkerState.SILENT
        return WorkerState.BUSY if self.work_ids else WorkerState.IDLE

    @property
    def devices(self) -> list[Device]:
        """Its devices as it saw them last; none where it tells of none."""
        return from_facts(self.row.facts)

    @property
    def slots(self) -> int:
        """How much it does at once."""
        return int(self.row.facts.get("slots", 1))

    @property
    def bell(self) -> Bell:
        """How it hears that something waits."""
        return bell_of(self.row.facts)

    @property
    def waiting(self) -> str | None:
        """Why it takes nothing at present, in words; None when nothing keeps it."""
        return self.row.facts.get("waiting")


class Workers:
    """The worker processes of this studio."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def alive(self) -> Sequence[WorkerRow]:
        """Return the workers heard of within their lease, by queue."""
        return self.session.scalars(select(WorkerRow).where(is_alive()).order_by(WorkerRow.queue, WorkerRow.id)).all()

    def strike_off_dead(self, here: str, is_running: Callable[[int], bool]) -> None:
        """Note that workers of the process space `here` have left whose process is gone, as after a kill -9."""
        for row in self.session.scalars(select(WorkerRow).where(WorkerRow.left_at.is_(None))):
            if here and row.facts.get("process_space") == here and not is_running(row.pid):
                row.left_at, row.busy_with = utc_now(), None

    def known(self) -> list[Known]:
        """Return the workers that have not left, by queue: those that live, and after them those that were lost within a day."""
        age = (database_clock() - WorkerRow.updated_at).label("age")
        here = select(WorkerRow, age, is_alive()).where(WorkerRow.left_at.is_(None), age < LOST_FOR_SECONDS)
        found = self.session.execute(here.order_by(WorkerRow.queue.desc(), WorkerRow.id)).all()
        held = self._held([row.id for row, *_ in found if row.facts.get("slots", 1) > 1])
        works = {row.id: tuple(filter(None, dict.fromkeys([row.busy_with, *held.get(row.id, ())]))) for row, *_ in found}
        known = [Known(row, max(0.0, float(silent)), bool(alive), works[row.id]) for row, silent, alive in found]
        return sorted(known, key=lambda one: one.state == WorkerState.LOST)

    def _held(self, worker_ids: list[str]) -> dict[str | None, list[str]]:
        """Return the runs that workers hold; of one that does one thing at a time its own word is enough."""
        if not worker_ids:
            return {}
        held: dict[str | None, list[str]] = defaultdict(list)
        mine = select(Run.lease_owner, Run.id).where(Run.lease_owner.in_(worker_ids), Run.status.in_(LEASED))
        for worker_id, run_id in self.session.execute(mine.order_by(Run.id)):
            held[worker_id].append(run_id)
        return held
