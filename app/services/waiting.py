"""Why runs wait, in words, and when they will start: one answer for REST, pages and lists."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from app.db import EventRow, Run, WorkerRow
from app.db.base import database_time
from app.db.leases import queue_order
from app.db.workers import is_alive
from app.domain.forecast import Lane, Waiting, roughly, span_of, starts
from app.domain.runs import LEASED, RunStatus
from app.domain.spans import Span
from app.services import paces
from app.services.overview import Overview
from app.services.queues import Queues
from app.services.runs import TRAINING_QUEUE
from app.services.workers import slots_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Row
    from sqlalchemy.orm import Session

    from app.services.queues import QueueState

ENDING = Span(20, 0, 60)
"""What a run still takes that is saving, packing or leaving."""
MINUTE = 60
AT_ONCE = Span.exactly(0)
HANDED_BACK = ("lost", "interrupted")
BACK = (*HANDED_BACK, "resume")
"""The events by which a run that was at work already waits again; nobody asked for those by which it was handed back."""


@dataclass(frozen=True)
class Wait:
    """Why a run waits, or stands still; and when it will start, or else why nobody knows."""

    why: str
    starts: tuple[datetime, datetime, datetime] | None = None
    unknown: str = ""

    @property
    def starts_at(self) -> datetime | None:
        """When it will most likely start."""
        return self.starts[1] if self.starts else None


def waits(session: Session, runs: Sequence[Run], queue: QueueState | None = None) -> dict[str, Wait]:
    """Say of each run that waits, or whose worker sees no progress, why; a fixed number of queries, however many runs.

    `queue`: how the training queue stands, where that is known already.
    """
    queued = [run for run in runs if run.status == RunStatus.QUEUED]
    stalled = [run for run in runs if run.stalled_at is not None]
    moment = database_time(session) if queued or stalled else 0.0
    found = {run.id: Wait(f"No step for {roughly(moment - (run.stalled_at or moment))}.") for run in stalled}
    if queued:
        look = _Look(session, moment, queue or Queues(session).state(TRAINING_QUEUE))
        back = _handed_back(session, queued)
        found |= {run.id: look.wait(run, back.get(run.id, "")) for run in queued}
    return found


def _handed_back(session: Session, queued: Iterable[Run]) -> dict[str, str]:
    """Say of runs that were at work already why they wait again, where nobody asked for it: in the words of whoever handed them back."""
    begun = [run.id for run in queued if run.attempt]
    last = select(func.max(EventRow.id)).where(EventRow.subject_id.in_(begun), EventRow.type.in_(BACK)).group_by(EventRow.subject_id)
    told = select(EventRow.subject_id, EventRow.message).where(EventRow.id.in_(last), EventRow.type.in_(HANDED_BACK))
    return {run_id: message for run_id, message in session.execute(told)}  # noqa: C416 - dict() of rows has no type


class _Look:
    """The training queue at one moment, played forward."""

    def __init__(self, session: Session, moment: float, queue: QueueState) -> None:
        self.moment, self.queue = moment, queue
        self.workers = session.scalars(select(WorkerRow).where(is_alive(), WorkerRow.queue == TRAINING_QUEUE)).all()
        self.line = _rows(session, Run.status == RunStatus.QUEUED)
        at_work = _rows(session, Run.status.in_(LEASED))
        self.paces = paces.Paces(session, {run.base_model for run in [*self.line, *at_work]}, moment)
        speeds = Overview(session).seconds_left_of(at_work)
        self.at_work = [(run, self._left(run, speeds.get(run.id))) for run in at_work]
        self.takes = {run.id: self.paces.of(run, run.total_steps - run.step) for run in self.line}
        self.has_gpu = any(worker.has_gpu for worker in self.workers)
        # Who needs a GPU is passed over where there is none.
        self.places = {run.id: place for place, run in enumerate(run for run in self.line if self.has_gpu or not run.needs_gpu)}
        self.starts = {} if self.queue.held else self._played()

    def wait(self, run: Run, back: str) -> Wait:
        """Say why a run waits and when it will start."""
        why = f"{back} {self._why(run)}".strip()
        span = self.starts.get(run.id)
        if span is None:
            return Wait(why, unknown="" if self.queue.held else self._unknown(run))
        low, likely, high = (datetime.fromtimestamp(self.moment + seconds, UTC) for seconds in (span.low, span.likely, span.high))
        return Wait(why, (low, likely, high))

    def _left(self, run: Row[Any], by_speed: float | None) -> Span | None:
        """Return how long a run that is at work will still be; nobody knows of one that makes no progress."""
        if run.stalled_at is not None:
            return None
        if run.status not in {RunStatus.STARTING, RunStatus.RUNNING}:
            return ENDING
        return span_of([by_speed]) if by_speed is not None else self.paces.of(run, run.total_steps - run.step)

    def _played(self) -> dict[str, Span]:
        line = [Waiting(run.id, self.takes[run.id], run.needs_gpu) for run in self.line]
        lanes = [lane for worker in self.workers for lane in self._lanes(worker)]
        # A run whose worker was lost takes a slot until its lease ends, and no worker.
        alive = {worker.id for worker in self.workers}
        elsewhere = sum(run.lease_owner not in alive for run, _ in self.at_work)
        return starts(line, lanes, None if self.queue.slots is None else max(0, self.queue.slots - elsewhere))

    def _lanes(self, worker: WorkerRow) -> list[Lane]:
        """Return what a worker does and can take; one that takes nothing just now has only what it does."""
        busy = [Lane(left, worker.has_gpu) for run, left in self.at_work if run.lease_owner == worker.id]
        return busy + [Lane(AT_ONCE, worker.has_gpu)] * (0 if worker.facts.get("waiting") else self._free_slots(worker))

    def _free_slots(self, worker: WorkerRow) -> int:
        return slots_of(worker) - len([run for run, _ in self.at_work if run.lease_owner == worker.id])

    def _why(self, run: Run) -> str:
        if self.queue.held:
            return self._held()
        if not self.workers:
            return "No worker that trains is running: hone worker --queue gpu starts one."
        if run.needs_gpu and not self.has_gpu:
            return "No running worker has a GPU, and this run asks for one: run hone worker --queue gpu where one is."
        place = self.places.get(run.id, 0)
        if place:
            return f"{place} {'run is' if place == 1 else 'runs are'} ahead of it."
        if self.queue.slots is not None and len(self.at_work) >= self.queue.slots:
            slots = "the queue's only slot" if self.queue.slots == 1 else f"one of the queue's {self.queue.slots} slots"
            return f"It is next, once {slots} is free: it waits for {self._soonest(run, self.at_work)}."
        return self._of_workers(run)

    def _of_workers(self, run: Run) -> str:
        fit = [worker for worker in self.workers if worker.has_gpu or not run.needs_gpu]
        idle = [worker for worker in fit if self._free_slots(worker) > 0]
        if not idle:
            owners = {worker.id for worker in fit}
            mine = [(other, left) for other, left in self.at_work if other.lease_owner in owners]
            return f"It is next, once a worker has done with {self._soonest(run, mine)}."
        kept = [worker for worker in idle if worker.facts.get("waiting")]
        if len(kept) == len(idle):
            return f"It is next. On {kept[0].host}: {kept[0].facts['waiting']}."
        return "A worker takes it next."

    def _held(self) -> str:
        by = f" by {self.queue.held_by}" if self.queue.held_by else ""
        since = f", for {roughly(self.moment - self.queue.held_since.timestamp())}" if self.queue.held_since else ""
        return f"The queue is held{by}{since}."

    def _soonest(self, run: Run, at_work: list[tuple[Row[Any], Span | None]]) -> str:
        """Name the run that ends first, as far as is known, and when; another project's only as such."""
        ends = sorted(at_work, key=lambda one: one[1].likely if one[1] else float("inf"))
        if not ends or ends[0][0].project_id != run.project_id:
            return "another run"
        other, left = ends[0]
        return f"{other.name} ({'about ' if left.likely >= MINUTE else ''}{roughly(left.likely)} left)" if left else other.name

    def _unknown(self, run: Run) -> str:
        """Name what makes no progress, or else the base that nobody has timed, of what is at work or stands ahead; no other project's."""
        stalled = next((other for other, _ in self.at_work if other.stalled_at is not None), None)
        if stalled:
            return f"{f'The run {stalled.name}' if stalled.project_id == run.project_id else 'Another run'} makes no progress."
        ahead = self.line[: next((at for at, other in enumerate(self.line) if other.id == run.id), 0)]
        untimed = [other for other, left in self.at_work if left is None] + [other for other in ahead if self.takes[other.id] is None]
        if not untimed or not self.workers:
            return ""
        if untimed[0].project_id != run.project_id:
            return "The base of another run has not been timed yet."
        return f"No run of {untimed[0].base_model} has been timed yet."


def _rows(session: Session, condition: Any) -> list[Row[Any]]:
    """Return what of the runs of the training queue a forecast needs, in the order of claims."""
    more = (
        Run.id, Run.name, Run.project_id, Run.status, Run.lease_owner, Run.needs_gpu, Run.step, Run.total_steps,
        Run.stalled_at,
    )  # fmt: skip
    found = select(*paces.COLUMNS, *more).where(Run.queue == TRAINING_QUEUE, condition).order_by(*queue_order(Run))
    return list(session.execute(found))
