"""Who holds a run for how long, kept with the run: written by its worker alone, when it takes it and when it gives it back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.db.base import database_time
from app.domain.holds import Hold, with_begun, with_ended

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from app.db.runs import Run


def begin_hold(session: Session, run: Run, *, host: str, device: str) -> None:
    """Note that a worker has taken a run; in the claim's own transaction."""
    run.facts = with_begun(run.facts, Hold(begin=database_time(session), host=host, device=device))


def end_hold(session: Session, run: Run) -> None:
    """Note that the run is nobody's any more; called while its lease still stands in the row."""
    run.facts = with_ended(run.facts, held_until(run, database_time(session)))


def held_until(run: Run, moment: float) -> float:
    """Return until when a run's worker can have held it: a lease that ran out says that nobody has since."""
    return moment if run.lease_expires_at is None else min(moment, run.lease_expires_at)
