"""Who works here, and whether they are alive."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from app.db import WorkerRow
from app.db.base import database_clock, utc_now
from app.db.workers import is_alive

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy.orm import Session


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

    def silent_seconds(self) -> dict[str, float]:
        """Return for each live worker how long ago its last sign of life was."""
        age = (database_clock() - WorkerRow.updated_at).label("age")
        return {
            worker_id: max(0.0, float(seconds)) for worker_id, seconds in self.session.execute(select(WorkerRow.id, age).where(is_alive()))
        }
