"""What the controls take away: each guard by name, so that a test can show what happens without it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

import app.db.leases
import workers.claim
import workers.heartbeat
from app.db.session import reading
from app.domain.runs import LEASED, RunStatus


def _held_by_anybody(session: Session, table: Any, work_id: str, token: int) -> Any:
    query = select(table).where(table.id == work_id, table.status.in_(LEASED)).with_for_update()
    return session.scalars(query.execution_options(populate_existing=True)).one()


def _write_without_token() -> None:
    guarded = app.db.leases.held
    for module in list(sys.modules.values()):
        if getattr(module, "held", None) is guarded:
            vars(module)["held"] = _held_by_anybody


def _ask_without_token() -> None:
    def status(self: workers.claim.Hold) -> RunStatus:
        with reading(self.worker.engine) as session:
            return RunStatus(session.get_one(self.kind.table, self.work_id).status)

    workers.claim.Hold._status = status  # type: ignore[method-assign]


def _never_notice() -> None:
    def check(self: workers.heartbeat.Heartbeat) -> None:
        """Say nothing."""

    workers.heartbeat.Heartbeat.check = check  # type: ignore[method-assign]


GUARDS: dict[str, Callable[[], None]] = {
    "the token with every write": _write_without_token,
    "the token with every question": _ask_without_token,
    "the heartbeat that notices": _never_notice,
}


def remove(guard: str) -> None:
    """Take a guard away in this process."""
    GUARDS[guard]()
