"""Who works here, and whether they are alive."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from app.db import WorkerRow
from app.db.base import database_clock
from app.db.workers import is_alive

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session


class Workers:
    """The worker processes of this studio."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def alive(self) -> Sequence[WorkerRow]:
        """Return the workers heard of within a lease, by queue."""
        return self.session.scalars(select(WorkerRow).where(is_alive()).order_by(WorkerRow.queue, WorkerRow.id)).all()

    def silent_seconds(self) -> dict[str, float]:
        """Return for each live worker how long ago its last sign of life was."""
        age = (database_clock() - WorkerRow.updated_at).label("age")
        return {
            worker_id: max(0.0, float(seconds)) for worker_id, seconds in self.session.execute(select(WorkerRow.id, age).where(is_alive()))
        }
