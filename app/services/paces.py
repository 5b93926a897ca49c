"""How long a step takes, by runs that were timed: what forecasts stand on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from app.db import Run
from app.domain.forecast import span_of
from app.domain.holds import FACT, holds_of, seconds_held
from app.domain.runs import RunStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Row
    from sqlalchemy.orm import Session

    from app.domain.spans import Span

LATEST = 200
"""How many timed runs are looked at, the newest."""
ENOUGH_STEPS = 3
"""Shorter ones say more of starting than of training."""
TIMED = (RunStatus.SUCCEEDED, RunStatus.STOPPED, RunStatus.PAUSED, RunStatus.QUEUED, RunStatus.RUNNING)
COLUMNS = (
    Run.base_model,
    Run.method,
    Run.spec["settings", "batch_size"].as_integer().label("batch_size"),
    Run.spec["settings", "max_length"].as_integer().label("max_length"),
)
"""What a run's pace goes by, beside the machine."""


class Paces:
    """Seconds for a step, from claim to end, of the newest runs that were timed on some bases."""

    def __init__(self, session: Session, bases: Iterable[str], moment: float) -> None:
        newest = select(Run.id).where(Run.base_model.in_(set(bases)), Run.status.in_(TIMED), Run.step >= ENOUGH_STEPS)
        ids = newest.order_by(Run.id.desc()).limit(LATEST).subquery()
        more = (Run.step, Run.facts[FACT].label("holds"), Run.lease_expires_at, Run.started_at, Run.finished_at)
        self._measured: dict[tuple[Any, ...], list[float]] = {}
        for run in session.execute(select(*COLUMNS, *more).join(ids, ids.c.id == Run.id)):
            seconds = _seconds(run, moment)
            for kind in (tuple(run[: len(COLUMNS)]), tuple(run[:2])) if seconds else ():
                self._measured.setdefault(kind, []).append(seconds / run.step)

    def of(self, run: Row[Any], steps: int) -> Span | None:
        """Return how long so many steps will take: by runs with the same batch and length if any was timed, else by any of its base."""
        found: Sequence[float] = self._measured.get(tuple(run[: len(COLUMNS)]), ()) or self._measured.get(tuple(run[:2]), ())
        return span_of(found).times(steps) if found else None


def _seconds(run: Row[Any], moment: float) -> float:
    holds = holds_of({FACT: run.holds})
    if holds:
        return seconds_held(holds, until=min(moment, run.lease_expires_at or moment))
    return (run.finished_at - run.started_at).total_seconds() if run.started_at and run.finished_at else 0.0
