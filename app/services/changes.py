"""What changed since a moment: the one look at the database that live pages share."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from sqlalchemy import String, cast, func, literal, null, select, union_all

from app.db import Baseline, Dataset, Download, EventRow, Import, Run, WorkerRow
from app.db.base import database_clock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

RUN, DATASET, WORKER, BASELINE, DOWNLOAD = "run", "dataset", "worker", "baseline", "download"


@dataclass(frozen=True)
class Moment:
    """How far somebody has seen: the database's time, and the newest event. A page is drawn at one, and its stream tells of others."""

    clock: float
    event: int

    def __str__(self) -> str:
        """Write it as the id of a message in a stream."""
        return f"{self.clock:.3f}-{self.event}"

    @classmethod
    def parse(cls, text: str | None) -> Self | None:
        """Return what `str` wrote; None for anything else, which a reader may send too."""
        found = re.fullmatch(r"(\d{1,15}\.\d{3})-(\d{1,18})", text or "", re.ASCII)
        return cls(float(found[1]), int(found[2])) if found else None


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

    def now(self) -> Moment:
        """Return the present: what a page notes when it is drawn, to ask later for what came after."""
        newest = select(func.coalesce(func.max(EventRow.id), 0)).scalar_subquery()
        clock, event = self.session.execute(select(database_clock(), newest)).one()
        return Moment(float(clock), event)

    def since(self, moment: float) -> Sequence[Change]:
        """Return everything that changed after `moment`; an import's progress counts as its dataset's."""
        found = union_all(
            select(literal(RUN), Run.id, Run.project_id, Run.updated_at).where(Run.updated_at > moment),
            select(literal(DATASET), Dataset.id, Dataset.project_id, Dataset.updated_at).where(Dataset.updated_at > moment),
            select(literal(DATASET), Import.dataset_id, Import.project_id, Import.updated_at).where(Import.updated_at > moment),
            select(literal(BASELINE), Baseline.id, Baseline.project_id, Baseline.updated_at).where(Baseline.updated_at > moment),
            select(literal(DOWNLOAD), Download.id, Download.project_id, Download.updated_at).where(Download.updated_at > moment),
            select(literal(WORKER), WorkerRow.id, cast(null(), String), WorkerRow.updated_at).where(WorkerRow.updated_at > moment),
        )
        return [Change(*row) for row in self.session.execute(found)]

    def events_after(self, event_id: int) -> Sequence[Happened]:
        """Return whose histories grew after an event."""
        query = select(EventRow.id, EventRow.subject_id, EventRow.project_id).where(EventRow.id > event_id).order_by(EventRow.id)
        return [Happened(*row) for row in self.session.execute(query.limit(10_000))]
