"""Settle work whose worker was lost: back to the queue, to the end that was asked for, or failed after three crashes without progress.

Runs in every worker and may run in several at once: rows are locked, and a settled row is no longer leased.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from sqlalchemy import update

from app.db import Import, Run
from app.db.base import database_clock
from app.db.leases import expired
from app.db.session import unit_of_work
from app.domain.runs import LEASED
from workers.kinds import KINDS, lose

if TYPE_CHECKING:
    from workers.worker import Worker

log = structlog.get_logger()


def sweep(worker: Worker) -> int:
    """Settle every lost lease and return how many there were."""
    gone = worker.dead_neighbours()
    settled = 0
    for kind in KINDS.values():
        with unit_of_work(worker.engine) as session:
            if gone:
                mine = (kind.table.lease_owner.in_(gone), kind.table.status.in_(LEASED))
                session.execute(update(kind.table).where(*mine).values(lease_expires_at=database_clock() - 1.0))
            for row in expired(session, kind.table):
                assert isinstance(row, Run | Import)  # noqa: S101 - for the type checker: these are the kinds
                log.warning("a worker was lost", work=row.id, status=row.status)
                lose(session, worker, kind, row, "The worker was lost: no sign of life within its lease.")
                settled += 1
    return settled
