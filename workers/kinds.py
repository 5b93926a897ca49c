"""The kinds of work there are, and what to do when one of them is lost: the one table `claim_and_run` and the sweep dispatch by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from app.db import Baseline, Download, EventRow, Import, Run
from app.db.audit import OUTSIDE_CONTACTED, note
from app.db.base import utc_now
from app.db.holds import end_hold
from app.domain.diagnosis import FAILURE, RESUMABLE
from app.domain.runs import ENDED, MAX_CRASHES_WITHOUT_PROGRESS, WANTED_END, RunStatus, after_lost_lease
from workers.baseline_work import BaselineWork
from workers.download_work import DownloadWork
from workers.import_work import ImportWork
from workers.training_work import TrainingWork

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy.orm import Session

    from app.domain.events import AnyEvent, Finished
    from workers.child import Child
    from workers.worker import Worker

Work: TypeAlias = Run | Import | Baseline | Download


class Kind(Protocol):
    """A kind of work: how it begins, what its reports mean, what is kept of it."""

    table: type[Any]
    queue: str
    errand: str
    """What hosts outside are spoken to for, in the words of the audit."""

    def prepare(self, worker: Worker, work_id: str, token: int, /) -> Callable[[], Child]:
        """Make ready what the child needs, slow as that may be, and return what starts it; Invalid when the work cannot be done at all."""

    def record(self, session: Session, worker: Worker, row: Any, events: Sequence[AnyEvent]) -> None:
        """Write what the child reported; the lease is held."""

    def package(self, worker: Worker, work_id: str, token: int, finished: Finished | None) -> Any:
        """Make what the child left ready for the store, slow as that may be, outside any transaction; None when it left nothing."""

    def keep(self, session: Session, worker: Worker, row: Any, package: Any) -> None:
        """Move the package into the store and enter it; in the same commit as the end state."""

    def discard(self, worker: Worker, package: Any, /) -> None:
        """Remove what a package has that no row names, after its `keep` or instead of it: on this machine, and in the store."""

    def ended(self, session: Session, worker: Worker, row: Any) -> None:
        """Do what belongs to work that is let go of without success, for now or for good; the state is set already."""


KINDS: dict[str, Kind] = {"baseline": BaselineWork(), "download": DownloadWork(), "import": ImportWork(), "run": TrainingWork()}


def kinds_of(queue: str) -> list[Kind]:
    """Return the kinds of work that wait in a queue."""
    return [kind for kind in KINDS.values() if kind.queue == queue]


def in_log(row: Work) -> dict[str, Any]:
    """Return what every line of the log about a piece of work names it by."""
    return {row.__tablename__.removesuffix("s"): row.id, "token": row.lease_token}


def tell(session: Session, row: Work, kind: str, message: str) -> None:
    """Enter something into the history of what the work is done on."""
    session.add(EventRow(project_id=row.project_id, subject_id=row.subject_id, type=kind, message=message, lease_token=row.lease_token))


def settle(session: Session, worker: Worker, kind: Kind, row: Work, status: RunStatus, *, reason: str = "") -> None:
    """Move held work to a state without a holder, and do what belongs to that."""
    if isinstance(row, Run):
        end_hold(session, row)
    row.move_to(status, reason)
    if isinstance(row, Run) and status in {RunStatus.QUEUED, RunStatus.PAUSED}:
        row.step = row.checkpoint_step
    if status in ENDED:
        row.finished_at = utc_now()
    if status != RunStatus.SUCCEEDED:
        kind.ended(session, worker, row)


def fail(session: Session, worker: Worker, kind: Kind, row: Work, *, reason: str, code: str | None, data: dict[str, Any]) -> None:
    """Settle work that cannot go on; `data` explains it further.

    What somebody asked to end ends so; what only lacks a disk that takes its files is paused until there is one.
    """
    row.error_code = code
    if isinstance(row, Run):
        row.facts = row.facts | {FAILURE: data}
    elif data.get("contacted"):
        why = f"{kind.errand}, in vain"
        note(session, row.project_id, row.created_by, OUTSIDE_CONTACTED, row.subject_id, hosts=data["contacted"], why=why)
    end = RunStatus.FAILED
    if row.status == RunStatus.CANCELLING:
        end, reason, row.error_code = RunStatus.CANCELLED, "", None
    elif code in RESUMABLE and isinstance(row, Run):
        end = WANTED_END.get(RunStatus(row.status), RunStatus.PAUSED)
        reason = f"{reason} {RESUMABLE[code]}"
        if row.status not in WANTED_END:
            row.move_to(RunStatus.PAUSING)
    settle(session, worker, kind, row, end, reason=reason)
    tell(session, row, end, reason or f"It was {end}.")


def lose(
    session: Session, worker: Worker, kind: Kind, row: Work, why: str, *, package: Any = None, code: str = "worker_crash_loop"
) -> None:
    """Settle work whose process died or whose worker fell silent: one crash is counted, and the third without progress is the end.

    `package` is what can be kept of work that somebody asked to stop; `code` says why it was given up.
    """
    row.crashes_since_progress += 1
    tell(session, row, "lost", why)
    after = after_lost_lease(RunStatus(row.status), row.crashes_since_progress)
    if after == RunStatus.STOPPED and package is not None:
        kind.keep(session, worker, row, package)
    if after == RunStatus.FAILED:
        reason = f"{why} That was the {MAX_CRASHES_WITHOUT_PROGRESS}rd time without progress, so it was given up. The log's end says more."
        fail(session, worker, kind, row, reason=reason, code=code, data={})
    else:
        settle(session, worker, kind, row, after)
