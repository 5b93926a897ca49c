"""Who works here, and whether they are alive."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from sqlalchemy import select, union_all, update

from app.db import Baseline, Download, Import, Run, WorkerRow
from app.db.base import database_clock, utc_now
from app.db.workers import is_alive
from app.domain.bells import Bell, bell_of
from app.domain.devices import Device, from_facts
from app.domain.runs import LEASED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sqlalchemy.orm import Session


HELD = (Run, Import, Baseline, Download)
"""What a worker may hold."""
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
        return slots_of(self.row)

    @property
    def bell(self) -> Bell:
        """How it hears that something waits."""
        return bell_of(self.row.facts)

    @property
    def waiting(self) -> str | None:
        """Why it takes nothing at present, in words; None when nothing keeps it."""
        return self.row.facts.get("waiting")


def slots_of(worker: WorkerRow) -> int:
    """Return how much a worker does at once."""
    return int(worker.facts.get("slots", 1))


class Workers:
    """The worker processes of this studio."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def alive(self) -> Sequence[WorkerRow]:
        """Return the workers heard of within their lease, by queue."""
        return self.session.scalars(select(WorkerRow).where(is_alive()).order_by(WorkerRow.queue, WorkerRow.id)).all()

    def dead(self, here: str, is_running: Callable[[int], bool]) -> list[str]:
        """Return the workers of the process space `here` (empty: the system does not say) whose process is gone, as after a kill -9."""
        there = self.session.scalars(select(WorkerRow).where(WorkerRow.left_at.is_(None)))
        return [row.id for row in there if here and row.facts.get("process_space") == here and not is_running(row.pid)]

    def strike_off(self, dead: list[str]) -> None:
        """Note that workers have left, and that they hold nothing any more: their leases need not be waited for."""
        for table in HELD:
            # A lease that ran out long ago keeps its end: until then the work was held, and no longer.
            theirs = (table.lease_owner.in_(dead), table.status.in_(LEASED), table.lease_expires_at >= database_clock())
            self.session.execute(update(table).where(*theirs).values(lease_expires_at=database_clock() - 1.0))
        self.session.execute(update(WorkerRow).where(WorkerRow.id.in_(dead)).values(left_at=utc_now(), busy_with=None))

    def strike_off_dead(self, here: str, is_running: Callable[[int], bool]) -> None:
        """Strike off the dead of the process space `here`."""
        self.strike_off(self.dead(here, is_running))

    def known(self) -> list[Known]:
        """Return the workers that have not left, by queue: those that live, and after them those that were lost within a day."""
        age = (database_clock() - WorkerRow.updated_at).label("age")
        here = select(WorkerRow, age, is_alive()).where(WorkerRow.left_at.is_(None), age < LOST_FOR_SECONDS)
        found = self.session.execute(here.order_by(WorkerRow.queue.desc(), WorkerRow.id)).all()
        held = self._held([row.id for row, *_ in found])
        works = {row.id: tuple(filter(None, dict.fromkeys([row.busy_with, *held.get(row.id, ())]))) for row, *_ in found}
        known = [Known(row, max(0.0, float(silent)), bool(alive), works[row.id]) for row, silent, alive in found]
        return sorted(known, key=lambda one: one.state == WorkerState.LOST)

    def _held(self, worker_ids: list[str]) -> dict[str | None, list[str]]:
        """Return what workers hold: a worker's own word names but one of several things."""
        if not worker_ids:
            return {}
        held: dict[str | None, list[str]] = defaultdict(list)
        theirs = (select(each.lease_owner, each.id).where(each.lease_owner.in_(worker_ids), each.status.in_(LEASED)) for each in HELD)
        for worker_id, work_id in self.session.execute(union_all(*theirs)):
            held[worker_id].append(work_id)
        return held


def devices_here(workers: Iterable[Known]) -> list[Device]:
    """Return the devices of the workers that train and live, each kind once: the one with most memory where several are called the same."""
    found: dict[str, Device] = {}
    for worker in workers:
        for device in worker.devices if worker.is_alive and worker.row.queue == "gpu" else ():
            if device.name not in found or device.total_bytes > found[device.name].total_bytes:
                found[device.name] = device
    return list(found.values())
