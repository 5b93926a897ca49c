"""Work that a worker may hold for a while: the columns, the claim, the fence, the heartbeat and the sweep.

The database is the truth and its clock the only clock. A claim hands out a lease and raises `lease_token`; every write of the
holder goes through `holding`, which refuses an old token. So a doubled message or a worker that wakes up late does no harm.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from sqlalchemy import BigInteger, ColumnElement, Select, String, cast, func, select, true, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.db.base import TouchedMixin, database_clock
from app.db.counters import STALE_WRITE_REJECTED, count
from app.db.queues import QueueRow
from app.db.session import UNREACHABLE, reading, unit_of_work
from app.domain.errors import LeaseLost
from app.domain.runs import LEASED, RunStatus, check_move

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Engine

LEASE_SECONDS = 60.0
"""Unless the settings say otherwise."""


class LeaseMixin(TouchedMixin):
    """Columns of anything `claim_and_run` can carry."""

    waits: ClassVar[bool] = False
    """Whether it mostly waits for somebody else, as a download does: it has a place of its own, and no limit of a queue counts it."""

    status: Mapped[str] = mapped_column(String(20), default=RunStatus.QUEUED, index=True)
    reason: Mapped[str] = mapped_column(String(2000), default="")
    error_code: Mapped[str | None] = mapped_column(String(60))
    queue: Mapped[str] = mapped_column(String(20))
    priority: Mapped[int] = mapped_column(default=0)
    # Where it stands among those of its priority: when it came, in microseconds since 1970, until somebody moves it.
    place: Mapped[int] = mapped_column(BigInteger, default=cast(database_clock() * 1_000_000, BigInteger))
    needs_gpu: Mapped[bool] = mapped_column(default=False)
    lease_owner: Mapped[str | None] = mapped_column(String(36))
    lease_token: Mapped[int] = mapped_column(default=0)
    lease_expires_at: Mapped[float | None]
    attempt: Mapped[int] = mapped_column(default=0)
    crashes_since_progress: Mapped[int] = mapped_column(default=0)
    # Since when its holder has seen no progress; None while all goes well.
    stalled_at: Mapped[float | None]
    # How often what its child said was entered: it tells whether a commit was made whose answer was lost.
    reports: Mapped[int] = mapped_column(default=0)

    if TYPE_CHECKING:
        id: Mapped[str]

    @property
    def subject_id(self) -> str:
        """Whose history tells of this work: its own, unless it is done on something else."""
        return self.id

    def move_to(self, status: RunStatus, reason: str = "") -> None:
        """Change the state, if that is legal; the one door (the claim's conditional UPDATE is the other side of it)."""
        check_move(RunStatus(self.status), status)
        self.status = status
        self.reason = reason[:2000]
        if status not in LEASED:
            self.lease_owner = None
            self.lease_expires_at = None
            self.stalled_at = None


Work = TypeVar("Work", bound=LeaseMixin)


def claim(
    session: Session, table: type[Work], worker_id: str, queue: str, *, has_gpu: bool, lease_seconds: float = LEASE_SECONDS
) -> Work | None:
    """Take the next waiting piece of work, or None. One conditional UPDATE: two claimers never get the same row."""
    if not _has_room(session, table, queue):
        return None
    may_take = true() if has_gpu else table.needs_gpu.is_(False)
    waiting: Select[str] = (
        select(table.id)
        .where(table.status == RunStatus.QUEUED, table.queue == queue, may_take)
        .order_by(*queue_order(table))
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    taken = session.execute(
        update(table)
        # Two guards, either of which would do on PostgreSQL: a locked row is passed over, and one that was waited for is asked again.
        # Without both, one row goes to several claimers.
        .where(table.id == waiting.scalar_subquery(), table.status == RunStatus.QUEUED)
        .values(
            status=RunStatus.STARTING,
            reason="",
            error_code=None,
            lease_owner=worker_id,
            lease_token=table.lease_token + 1,
            attempt=table.attempt + 1,
            lease_expires_at=database_clock() + lease_seconds,
        )
        .returning(table.id),
        execution_options={"synchronize_session": False},
    ).scalar()
    return session.get(table, taken, populate_existing=True) if taken else None


def queue_order(table: type[Any]) -> tuple[ColumnElement[Any], ...]:
    """Return by what waiting work is ordered: the one order of claims and pages."""
    return table.priority.desc(), table.place, table.id


def _has_room(session: Session, table: type[LeaseMixin], queue: str) -> bool:
    """Return whether work of a kind may be taken; where a queue has a limit, claimers take turns, or two would fill the last slot."""
    decided = session.scalar(select(QueueRow).where(QueueRow.name == queue))
    if decided is None or (decided.slots is None and not decided.held):
        return True
    decided = session.scalar(select(QueueRow).where(QueueRow.name == queue).with_for_update().execution_options(populate_existing=True))
    if decided is None or decided.held:
        return decided is None
    return decided.slots is None or table.waits or _at_work(session, queue) < decided.slots


def _at_work(session: Session, queue: str) -> int:
    """Count what computes in a queue: its limit is for all kinds of work together, but for those that only wait."""
    tables = [table for table in LeaseMixin.__subclasses__() if not table.waits]
    busy = (select(func.count()).select_from(table).where(table.queue == queue, table.status.in_(LEASED)) for table in tables)
    return sum(session.scalar(each) or 0 for each in busy)


def held(session: Session, table: type[Work], work_id: str, token: int) -> Work:
    """Return the row, locked, if `token` still holds it; else LeaseLost. Every write of a worker starts here."""
    query: Select[Any] = (
        select(table)
        .where(table.id == work_id, table.lease_token == token, table.status.in_(LEASED))
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    row: Work | None = session.scalar(query)
    if row is None:
        message = "The lease on this work was lost; nothing was written."
        raise LeaseLost(message)
    return row


@contextmanager
def holding(engine: Engine, table: type[Work], work_id: str, token: int) -> Iterator[tuple[Session, Work]]:
    """Give a unit of work with the row that `token` holds: a holder's one way to write. A refused write is counted."""
    try:
        with unit_of_work(engine) as session:
            yield session, held(session, table, work_id, token)
    except LeaseLost:
        count_refused(engine)
        raise


def count_refused(engine: Engine) -> None:
    """Count a write that came with an old token; a database that is away just now has other worries."""
    with suppress(*UNREACHABLE), unit_of_work(engine) as session:
        count(session, STALE_WRITE_REJECTED)


def is_taken_over(engine: Engine, table: type[Work], work_id: str, token: int) -> bool:
    """Return whether somebody has claimed the work after `token` did."""
    with reading(engine) as session:
        newer: Select[Any] = select(table.id).where(table.id == work_id, table.lease_token > token)
        return session.scalar(newer) is not None


def extend(session: Session, table: type[Work], work_id: str, token: int, lease_seconds: float) -> None:
    """Say "still alive" for another lease; LeaseLost when somebody else holds the work."""
    held(session, table, work_id, token).lease_expires_at = database_clock() + lease_seconds


def expired(session: Session, table: type[Work], *, work_id: str, token: int) -> Sequence[Work]:
    """Return the row, locked, if its holder of that token was silent for longer than its lease; else nothing."""
    return session.scalars(
        select(table)
        .where(table.id == work_id, table.lease_token == token)
        .where(table.status.in_(LEASED), table.lease_expires_at < database_clock())
        .with_for_update(skip_locked=True)
        .execution_options(populate_existing=True)
    ).all()
