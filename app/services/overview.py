"""What lists show beside each run: numbers, names of dataset and owner; and how much of everything there is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from app.db import Dataset, DatasetVersion, EventRow, MetricLatest, Run, User, WorkerRow
from app.db.base import utc_now
from app.db.workers import is_alive
from app.domain.runs import ENDED, RunStatus

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from sqlalchemy import Row
    from sqlalchemy.orm import Session

    from app.services.accounts import Identity

STEPS_TO_JUDGE = 3
"""The first steps are slower than the rest, so before this many no time is told."""


@dataclass(frozen=True)
class RunLine:
    """A run with what a list says about it; a deleted dataset has no id any more, only its name."""

    run: Run
    dataset_id: str | None
    dataset: str
    owner: str
    latest: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Totals:
    """How much there is of everything in a project."""

    datasets: int
    runs: int
    live_runs: int
    running: int
    models: int
    workers: int


class Overview:
    """Reads for lists: a handful of queries, however many runs."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def lines(self, runs: Iterable[Run]) -> list[RunLine]:
        """Return runs with their latest numbers and the names of what they belong to."""
        runs = list(runs)
        numbers: dict[str, dict[str, float]] = {}
        found = select(MetricLatest).where(MetricLatest.run_id.in_([run.id for run in runs]))
        for latest in self.session.scalars(found):
            numbers.setdefault(latest.run_id, {})[latest.name] = latest.value
        of_version = select(DatasetVersion.id, Dataset.id, Dataset.name, Dataset.deleted_at).join(
            Dataset, Dataset.id == DatasetVersion.dataset_id
        )
        datasets = {
            version: (None if deleted_at else dataset, name)
            for version, dataset, name, deleted_at in self.session.execute(
                of_version.where(DatasetVersion.id.in_({run.version_id for run in runs}))
            )
        }
        people = self.names({run.created_by for run in runs})
        return [RunLine(run, *datasets[run.version_id], people.get(run.created_by, "–"), numbers.get(run.id, {})) for run in runs]

    def names(self, user_ids: Iterable[str | None]) -> dict[str | None, str]:
        """Return the names of people."""
        found = select(User.id, User.name).where(User.id.in_([user_id for user_id in user_ids if user_id]))
        return {user_id: name for user_id, name in self.session.execute(found)}  # noqa: C416 - dict() of rows has no type

    def run_names(self, by: Identity, run_ids: Iterable[str | None]) -> dict[str | None, str]:
        """Return the names of those runs that are the project's."""
        mine = select(Run.id, Run.name).where(Run.project_id == by.project_id)
        found = mine.where(Run.id.in_([run_id for run_id in run_ids if run_id]))
        return {run_id: name for run_id, name in self.session.execute(found)}  # noqa: C416 - dict() of rows has no type

    def worker_of(self, run: Run) -> WorkerRow | None:
        """Return the worker that holds a run."""
        return self.session.get(WorkerRow, run.lease_owner) if run.lease_owner else None

    def seconds_left(self, run: Run) -> float | None:
        """Return how long a run will still take at the speed since it was started last; None where that would be a guess."""
        return self.seconds_left_of([run]).get(run.id)

    def seconds_left_of(self, runs: Iterable[Run | Row[Any]]) -> dict[str, float]:
        """Return how long runs will still take, those of which it can be told: not of one that makes no progress."""
        running = [run for run in runs if run.status == RunStatus.RUNNING and run.stalled_at is None]
        if not running:
            return {}
        begun = select(func.max(EventRow.id)).where(EventRow.subject_id.in_([run.id for run in running]), EventRow.type == "started")
        found = self.session.scalars(select(EventRow).where(EventRow.id.in_(begun.group_by(EventRow.subject_id))))
        starts, now = {event.subject_id: event for event in found}, utc_now()
        left = {run.id: _seconds_left(run, starts.get(run.id), now) for run in running}
        return {run_id: seconds for run_id, seconds in left.items() if seconds is not None}

    def newest_events(self, subject_id: str, limit: int) -> list[EventRow]:
        """Return what happened to a run or a dataset, newest first."""
        found = select(EventRow).where(EventRow.subject_id == subject_id).order_by(EventRow.id.desc()).limit(limit)
        return list(self.session.scalars(found))

    def totals(self, by: Identity) -> Totals:
        """Count what the project has."""
        states = select(Run.status, func.count(), func.count(Run.model)).where(Run.project_id == by.project_id).group_by(Run.status)
        runs = [(RunStatus(status), number, models) for status, number, models in self.session.execute(states)]
        datasets = select(func.count()).select_from(Dataset).where(Dataset.project_id == by.project_id, Dataset.deleted_at.is_(None))
        workers = select(func.count()).select_from(WorkerRow).where(is_alive())
        number_of_datasets, number_of_workers = self.session.execute(select(datasets.scalar_subquery(), workers.scalar_subquery())).one()
        return Totals(
            datasets=number_of_datasets,
            runs=sum(number for _, number, _ in runs),
            live_runs=sum(number for status, number, _ in runs if status not in ENDED),
            running=sum(number for status, number, _ in runs if status == RunStatus.RUNNING),
            models=sum(models for _, _, models in runs),
            workers=number_of_workers,
        )


def _seconds_left(run: Run | Row[Any], start: EventRow | None, now: datetime) -> float | None:
    done = run.step - int(start.data.get("step", 0)) if start else 0
    if start is None or done < STEPS_TO_JUDGE:
        return None
    return (now - start.time).total_seconds() / done * (run.total_steps - run.step)
