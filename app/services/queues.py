"""The queues: how they stand, what an operator decides about them, and moving a waiting run within its queue."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from sqlalchemy import func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from app.db import AuditEntry, Baseline, Download, EventRow, Import, Project, QueueRow, Run, User, WorkerRow
from app.db.audit import note
from app.db.session import after_commit
from app.db.workers import is_alive
from app.domain.errors import NotFound
from app.domain.queueing import Standing, moved, priority_of
from app.domain.runs import LEASED, RunStatus
from app.services.datasets import IMPORT_QUEUE
from app.services.runs import TRAINING_QUEUE, run_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy.orm import Session

    from app.domain.ports import Queue
    from app.domain.queueing import Move, QueueChange
    from app.services.accounts import Identity

Waiting: TypeAlias = type[Run] | type[Import] | type[Baseline] | type[Download]
TABLES: dict[str, tuple[Waiting, ...]] = {TRAINING_QUEUE: (Run,), IMPORT_QUEUE: (Import, Baseline, Download)}
"""What waits in each queue."""
HELD, RELEASED, LIMITED = "queue.held", "queue.released", "queue.limited"


@dataclass(frozen=True)
class QueueState:
    """A queue as it stands: what was decided about it, and how much is in it, of all projects."""

    name: str
    slots: int | None = None
    held: bool = False
    held_by: str | None = None
    held_since: datetime | None = None
    running: int = 0
    waiting: int = 0
    workers: int = 0


@dataclass(frozen=True)
class Moved:
    """Where a run stands after a move, counted from 1, and of how many."""

    run: Run
    place: int
    number: int


class Queues:
    """The queues of this studio."""

    def __init__(self, session: Session, bell: Queue | None = None) -> None:
        self.session, self.bell = session, bell

    def every(self) -> list[QueueState]:
        """Return the queues as they stand."""
        return [self.state(name) for name in TABLES]

    def on_the_board(self) -> list[QueueState]:
        """Return the queue of training, and any other that somebody has decided about."""
        decided = select(QueueRow.name).where(QueueRow.name != TRAINING_QUEUE, or_(QueueRow.held, QueueRow.slots.is_not(None)))
        return [self.state(name) for name in [TRAINING_QUEUE, *self.session.scalars(decided)]]

    def state(self, name: str) -> QueueState:
        """Return a queue as it stands, or NotFound."""
        numbers = self._numbers(_tables(name), name)
        decided = self.session.scalar(select(QueueRow).where(QueueRow.name == name)) or QueueRow(name=name, slots=None, held=False)
        by, since = self._holder(name) if decided.held else (None, None)
        return QueueState(
            name, decided.slots, decided.held, by, since, waiting=numbers.pop(RunStatus.QUEUED, 0), running=numbers.total(),
            workers=self.session.scalar(select(func.count()).select_from(WorkerRow).where(is_alive(), WorkerRow.queue == name)) or 0,
        )  # fmt: skip

    def _numbers(self, tables: Sequence[Waiting], name: str) -> Counter[str]:
        """Count what waits in a queue and what is at work, by state."""
        numbers: Counter[str] = Counter()
        for table in tables:
            mine = select(table.status, func.count()).where(table.queue == name, table.status.in_([*LEASED, RunStatus.QUEUED]))
            numbers.update({status: number for status, number in self.session.execute(mine.group_by(table.status))})  # noqa: C416 - dict() of rows has no type
        return numbers

    def change(self, by: Identity, name: str, wanted: QueueChange) -> QueueState:
        """Limit, hold or release a queue; whatever runs goes on."""
        _tables(name)
        # Two who decide about it for the first time at once must not both enter it.
        dialect = postgresql if self.session.get_bind().dialect.name == "postgresql" else sqlite
        self.session.execute(dialect.insert(QueueRow).values(name=name, slots=None, held=False).on_conflict_do_nothing())
        row = self.session.get_one(QueueRow, name, with_for_update=True, populate_existing=True)
        if "slots" in wanted.model_fields_set and wanted.slots != row.slots:
            row.slots = wanted.slots
            self._note(by, LIMITED, name, slots=wanted.slots)
        if wanted.held is not None and wanted.held != row.held:
            row.held = wanted.held
            self._note(by, HELD if wanted.held else RELEASED, name)
        self.session.flush()
        if self.bell:
            after_commit(self.session, partial(self.bell.ring, name))
        return self.state(name)

    def move(self, by: Identity, run_id: str, move: Move) -> Moved:
        """Put a waiting run of the project somewhere else in its queue; Conflict when it, or the run it names, waits no more."""
        run = run_of(self.session, by, run_id)
        # Movers take turns, or each would share out places that the other has just given away.
        self.session.execute(select(Project.id).where(Project.id == by.project_id).with_for_update(key_share=True))
        mine = (Run.project_id == by.project_id, Run.queue == run.queue, Run.status == RunStatus.QUEUED)
        # By id, as whoever deletes runs locks them, so that the two wait for each other instead of both forever.
        found = self.session.execute(select(Run.id, Run.priority, Run.place).where(*mine).order_by(Run.id).with_for_update())
        before = sorted((Standing(*row) for row in found), key=lambda one: (-one.priority, one.place, one.id))
        after = moved(before, run.id, move)
        place = [one.id for one in after].index(run.id)
        changed = sorted(set(after) - set(before))
        if changed:
            self._tell_of(by, run, after[place], f"{by.user_name} moved the run to place {place + 1} of {len(after)} in the queue.")
            self.session.execute(update(Run), [one._asdict() for one in changed])
            self.session.refresh(run)
        return Moved(run, place + 1, len(after))

    def _tell_of(self, by: Identity, run: Run, now: Standing, message: str) -> None:
        if now.priority != run.priority:
            message += f" Its priority is {priority_of(now.priority)} now, like its neighbours'."
        self.session.add(EventRow(project_id=run.project_id, subject_id=run.id, type="moved", message=message))
        note(self.session, by.project_id, by.user_id, "run.moved", run.id, place=now.place, priority=priority_of(now.priority))

    def _holder(self, name: str) -> tuple[str | None, datetime | None]:
        """Return who held a queue, and since when, as the audit has it."""
        found = select(User.name, AuditEntry.time).join(User, User.id == AuditEntry.user_id, isouter=True)
        last = found.where(AuditEntry.action == HELD, AuditEntry.subject == name).order_by(AuditEntry.id.desc()).limit(1)
        row = self.session.execute(last).first()
        return (row[0], row[1]) if row else (None, None)

    def _note(self, by: Identity, action: str, name: str, **details: Any) -> None:
        note(self.session, by.project_id, by.user_id, action, name, **details)


def _tables(name: str) -> tuple[Waiting, ...]:
    if name not in TABLES:
        message = f"There is no queue {name[:20]!r}; there are {' and '.join(TABLES)}."
        raise NotFound(message, code="queue_not_found")
    return TABLES[name]
