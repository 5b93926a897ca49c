"""Settle work whose worker was lost: back to the queue, to the end that was asked for, or failed after three crashes without progress.

Runs in every worker and may run in several at once: each row is locked and looked at again before it is settled.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import select

from app.db.base import database_clock
from app.db.counters import LEASE_EXPIRED, count
from app.db.leases import expired
from app.db.session import UNREACHABLE, reading, unit_of_work
from app.domain.errors import LeaseLost, StudioError
from app.domain.runs import LEASED, RunStatus
from app.services.workers import Workers
from workers.kinds import KINDS, Kind, in_log, lose
from workers.leftovers import clear_deleted

if TYPE_CHECKING:
    from workers.worker import Worker

log = structlog.get_logger()
WHY = "The worker was lost: no sign of life within its lease."
CLEAR_SECONDS = 600.0
"""How often the machine's disk is looked at for what was deleted from elsewhere."""


def sweep(worker: Worker) -> int:
    """Settle every lost lease and return how many there were; now and then also clear the disk of what was deleted."""
    if time.monotonic() - worker.cleared > CLEAR_SECONDS:
        worker.cleared = time.monotonic()
        clear_deleted(worker)
    _strike_off_dead(worker)
    return sum(_settled(worker, kind, work_id) for kind in KINDS.values() for work_id in _lost(worker, kind))


def _strike_off_dead(worker: Worker) -> None:
    dead = worker.dead_neighbours()
    if dead:  # else there is nothing to write, and nobody has to wait for it
        with unit_of_work(worker.engine) as session:
            Workers(session).strike_off(dead)


def _lost(worker: Worker, kind: Kind) -> list[str]:
    silent = (kind.table.status.in_(LEASED), kind.table.lease_expires_at < database_clock())
    with reading(worker.engine) as session:
        # What has to be packed first, and may take long, comes last.
        return list(session.scalars(select(kind.table.id).where(*silent).order_by(kind.table.status == RunStatus.STOPPING)))


def _settled(worker: Worker, kind: Kind, work_id: str) -> bool:
    try:
        return _settle_lost(worker, kind, work_id)
    except LeaseLost:
        return False  # another sweep was quicker
    except (StudioError, OSError) as error:
        # A disk or a store that is in trouble; what does not need it must not wait for it.
        log.warning("what a lost worker left is kept later", work=work_id, why=str(error))
        return False
    except UNREACHABLE:
        raise
    except Exception:
        # The outer edge of one piece of work: those behind it must not wait for it for ever.
        log.exception("a lost piece of work could not be settled", work=work_id)
        return False


def _settle_lost(worker: Worker, kind: Kind, work_id: str) -> bool:
    with reading(worker.engine) as session:
        row = session.get_one(kind.table, work_id)
        token, was_stopping = row.lease_token, row.status == RunStatus.STOPPING
    # Outside the transaction: gigabytes may have to be read, and others want to write.
    package = kind.package(worker, work_id, token, None) if was_stopping else None
    try:
        with unit_of_work(worker.engine) as session:
            for row in expired(session, kind.table, work_id=work_id, token=token):
                if row.status == RunStatus.STOPPING and not was_stopping:
                    return False  # somebody asked for that just now: the next sweep packs what can be kept
                log.warning("a worker was lost", status=row.status, **in_log(row))
                count(session, LEASE_EXPIRED)
                lose(session, worker, kind, row, WHY, package=package, code="worker_lost")
                return True
    finally:
        if package is not None:
            kind.discard(worker, package)
    return False
