"""What changed since a moment: the one look at the database that live pages share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import String, cast, func, literal, null, select, union_all

from app.db import Dataset, EventRow, Import, Run, WorkerRow
from app.db.base import database_time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

RUN, DATASET, WORKER = "run", "dataset", "worker"


@dataclass(frozen=True)
class Change:
    """A row that changed: what it is of, and when. Workers belong to no project."""

    kind: str
    subject_id: str
    project_id: str | None
    updated_at: float


@dataclass(frozen=True)
class Happened:
    """Something was written into a subject's history."""

    id: int
    subject_id: str
    project_id: str


class Changes:
    """Looks for rows that grew newer, by the database's own clock."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def clock(self) -> float:
        """Return the database's time: what a page notes when it is drawn, to ask later for what came after."""
        return database_time(self.session)

    def since(self, moment: float) -> Sequence[Change]:
        """Return every run, dataset and worker that changed after `moment`; an import's progress counts as its dataset's."""
        found = union_all(
            select(literal(RUN), Run.id, Run.project_id, Run.updated_at).where(Run.updated_at > moment),
            select(literal(DATASET), Dataset.id, Dataset.project_id, Dataset.updated_at).where(Dataset.updated_at > moment),
            select(literal(DATASET), Import.dataset_id, Import.project_id, Import.updated_at).where(Import.updated_at > moment),
            select(literal(WORKER), WorkerRow.id, cast(null(), String), WorkerRow.updated_at).where(WorkerRow.updated_at > moment),
        )
        return [Change(*row) for row in self.session.execute(found)]

    def newest_event(self) -> int:
        """Return the id of the newest event."""
        return self.session.scalar(select(func.max(EventRow.id))) or 0

    def events_after(self, event_id: int) -> Sequence[Happened]:
        """Return whose histories grew after an event."""
        query = select(EventRow.id, EventRow.subject_id, EventRow.project_id).where(EventRow.id > event_id).order_by(EventRow.id)
        return [Happened(*row) for row in self.session.execute(query.limit(10_000))]
