"""The board of a team: what runs, waits and has ended lately, under filters that add up; and who used the devices for how long."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING

from sqlalchemy import and_, case, func, or_, select, true

from app.db import Run, User, WorkerRow
from app.db.base import database_time
from app.db.holds import held_until
from app.db.leases import queue_order
from app.domain.holds import FACT, HOLDER, holds_of, seconds_held
from app.domain.runs import ENDED, GROUPS, RunStatus
from app.services.paging import Page
from app.services.run_filter import RunFilter, tag_counts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import ColumnElement, Select
    from sqlalchemy.orm import Session

    from app.services.accounts import Identity

DAYS = 7
"""How far back the board looks, unless it is told otherwise, and how long a week of device hours is."""
RECENT = timedelta(hours=24)


class Group(StrEnum):
    """Where on the board a run stands."""

    RUNNING = "running"
    WAITING = "waiting"
    DONE = "done"


STATES: dict[Group, frozenset[RunStatus]] = {
    Group.RUNNING: GROUPS["active"], Group.WAITING: GROUPS["waiting"], Group.DONE: GROUPS["done"],
}  # fmt: skip


@dataclass(frozen=True)
class BoardFilter:
    """What of the board one wants to see; `on` is a machine or a device, `days` 0 looks back to the beginning."""

    runs: RunFilter = field(default_factory=RunFilter)
    group: Group | None = None
    on: str = ""
    days: int = DAYS

    def shows(self, group: Group) -> bool:
        """Return whether a group is on the board."""
        return self.group in {None, group}


@dataclass(frozen=True)
class Choices:
    """How many runs each choice of a filter would leave, with the other filters as they are."""

    owners: dict[str, int]
    bases: dict[str, int]
    tags: list[tuple[str, int]]
    places: list[str]


@dataclass(frozen=True)
class Cell:
    """How many runs share a group, an owner and a base."""

    group: Group
    owner: str
    base: str
    number: int


@dataclass
class Use:
    """What one person used: for how long workers held their runs, and how many runs those were."""

    owner: str
    seconds: float = 0.0
    runs: int = 0
    unmeasured: int = 0
    """Runs from before hours were kept."""


@dataclass(frozen=True)
class Totals:
    """The whole project at a glance, whatever the filters."""

    running: int
    waiting: int
    done_lately: int
    failed_lately: int
    use: list[Use]

    @property
    def seconds(self) -> float:
        """What everybody used together."""
        return sum(one.seconds for one in self.use)

    @property
    def unmeasured(self) -> int:
        """How many runs have no hours."""
        return sum(one.unmeasured for one in self.use)


def group_of(status: str) -> Group:
    """Return where on the board a run of this state stands."""
    return next(group for group, states in STATES.items() if RunStatus(status) in states)


class Board:
    """Reads for one look at the board: a fixed number of queries, however many runs."""

    def __init__(self, session: Session, by: Identity, wanted: BoardFilter) -> None:
        self.session, self.by, self.wanted = session, by, wanted
        self.moment = database_time(session)

    def running(self, limit: int) -> Sequence[Run]:
        """Return runs that a worker holds, the longest at work first."""
        return self.session.scalars(self._in(Group.RUNNING).order_by(Run.started_at.is_(None), Run.started_at, Run.id).limit(limit)).all()

    def waiting(self, limit: int) -> Sequence[Run]:
        """Return runs that wait for a worker in the order they will be taken, then those that wait for a person."""
        is_held = case((Run.status == RunStatus.QUEUED, 0), else_=1)
        return self.session.scalars(self._in(Group.WAITING).order_by(is_held, *queue_order(Run)).limit(limit)).all()

    def done(self, limit: int, after: str | None) -> Page[Run]:
        """Return runs that have ended, the latest first; a keyset, never OFFSET."""
        order = (Run.finished_at.desc().nulls_last(), Run.id.desc())
        found = self._in(Group.DONE).with_only_columns(Run.id)
        last = self.session.execute(select(Run.finished_at, Run.id).where(Run.id == after)).first() if after else None
        # One that was resumed meanwhile has no end to go on from.
        if last and last.finished_at:
            found = found.where(or_(Run.finished_at < last.finished_at, and_(Run.finished_at == last.finished_at, Run.id < last.id)))
        # Only ids are sorted: rows carry their whole spec.
        ids = found.order_by(*order).limit(limit + 1).subquery()
        runs = self.session.scalars(select(Run).join(ids, ids.c.id == Run.id).order_by(*order)).all()
        return Page(runs[:limit], len(runs) > limit)

    def choices(self) -> Choices:
        """Count what each choice of each filter would leave."""
        wanted, cells = self.wanted, self._cells
        owner, base = wanted.runs.owner, wanted.runs.base_model

        def counted(key: Callable[[Cell], str], fits: Callable[[Cell], bool]) -> dict[str, int]:
            numbers: dict[str, int] = {}
            for cell in filter(fits, cells):
                numbers[key(cell)] = numbers.get(key(cell), 0) + cell.number
            return dict(sorted(numbers.items()))

        without_tag = replace(wanted, runs=replace(wanted.runs, tag=()))
        return Choices(
            owners=counted(lambda cell: cell.owner, lambda cell: wanted.shows(cell.group) and base in {"", cell.base}),
            bases=counted(lambda cell: cell.base, lambda cell: wanted.shows(cell.group) and owner in {"", cell.owner}),
            tags=tag_counts(self.session, self._matching(without_tag).where(_of(wanted.group)).select_from(Run)),
            places=self._places(),
        )

    def numbers(self) -> dict[Group, int]:
        """Count the runs of each group."""
        owner, base = self.wanted.runs.owner, self.wanted.runs.base_model
        fitting = [cell for cell in self._cells if owner in {"", cell.owner} and base in {"", cell.base}]
        return {group: sum(cell.number for cell in fitting if cell.group == group) for group in Group}

    def totals(self) -> Totals:
        """Count the project as it stands, and its last week of device hours."""
        lately = func.count(case((Run.finished_at >= datetime.fromtimestamp(self.moment, UTC) - RECENT, 1)))
        states = select(Run.status, func.count(), lately).where(Run.project_id == self.by.project_id).group_by(Run.status)
        found = [(RunStatus(status), number, late) for status, number, late in self.session.execute(states)]
        return Totals(
            running=sum(number for status, number, _ in found if status in STATES[Group.RUNNING]),
            waiting=sum(number for status, number, _ in found if status in STATES[Group.WAITING]),
            done_lately=sum(late for status, _, late in found if status == RunStatus.SUCCEEDED),
            failed_lately=sum(late for status, _, late in found if status == RunStatus.FAILED),
            use=self._use(self.moment - timedelta(days=DAYS).total_seconds()),
        )

    def seconds_held(self, run: Run) -> float | None:
        """Return for how long workers have held a run, all attempts together; None of a run from before that was kept."""
        holds = holds_of(run.facts)
        return seconds_held(holds, until=held_until(run, self.moment)) if holds else None

    def _use(self, since: float) -> list[Use]:
        """Add up holds since a moment by owner. Whoever held a run in that time has written to its row."""
        columns = (func.coalesce(User.name, ""), Run.facts[FACT], Run.lease_expires_at, Run.started_at)
        mine = (Run.project_id == self.by.project_id, Run.attempt > 0, Run.updated_at >= since)
        found = select(*columns).outerjoin(User, User.id == Run.created_by).where(*mine)
        use: dict[str, Use] = {}
        for owner, kept, lease, started in self.session.execute(found):
            holds = holds_of({FACT: kept})
            seconds = seconds_held(holds, since=since, until=min(self.moment, lease or self.moment))
            one = use.setdefault(owner, Use(owner))
            one.seconds += seconds
            one.runs += bool(seconds)
            one.unmeasured += not holds and started is not None and started.timestamp() >= since
        return sorted((one for one in use.values() if one.runs or one.unmeasured), key=lambda one: (-one.seconds, one.owner))

    @cached_property
    def _cells(self) -> list[Cell]:
        """Count runs by what filters choose from, with the filters that are no choice applied: one query for all counts."""
        free = replace(self.wanted, runs=replace(self.wanted.runs, owner="", base_model=""))
        columns = (Run.status, func.coalesce(User.name, ""), Run.base_model)
        query = self._matching(free).select_from(Run).outerjoin(User, User.id == Run.created_by).with_only_columns(*columns, func.count())
        return [
            Cell(group_of(status), owner, base, number) for status, owner, base, number in self.session.execute(query.group_by(*columns))
        ]

    def _places(self) -> list[str]:
        """Return the machines and devices that work is, or lately was, done on."""
        lately = WorkerRow.updated_at >= self.moment - timedelta(days=30).total_seconds()
        found = self.session.execute(select(WorkerRow.host, WorkerRow.device).where(WorkerRow.queue == "gpu", lately).distinct())
        return sorted({name for row in found for name in row})

    def _in(self, group: Group) -> Select[Run]:
        runs = self._wanted(self.wanted).where(_of(group))
        return runs.where(*self._lately(self.wanted)) if group == Group.DONE else runs

    def _matching(self, wanted: BoardFilter) -> Select[Run]:
        """Return the runs that filters leave, in whatever group."""
        lately = self._lately(wanted)
        return self._wanted(wanted).where(or_(Run.status.not_in(ENDED), and_(*lately))) if lately else self._wanted(wanted)

    def _wanted(self, wanted: BoardFilter) -> Select[Run]:
        runs = wanted.runs.mine(self.session, self.by)
        if wanted.on:
            runs = runs.where(or_(*(Run.facts[HOLDER, part].as_string() == wanted.on for part in ("host", "device"))))
        return runs

    def _lately(self, wanted: BoardFilter) -> list[ColumnElement[bool]]:
        """Return what of the ended runs is looked at. Ending is a change: the index on changes leaves few rows to look at."""
        if not wanted.days:
            return []
        since = datetime.fromtimestamp(self.moment, UTC) - timedelta(days=wanted.days)
        return [Run.updated_at >= since.timestamp(), Run.finished_at >= since]


def _of(group: Group | None) -> ColumnElement[bool]:
    return Run.status.in_(STATES[group]) if group else true()
