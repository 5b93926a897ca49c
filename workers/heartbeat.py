"""The sign that a lease is still held, given from a thread of its own: neither a long zip nor a slow start may look like death."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Self

import structlog

from app.db.leases import HEARTBEAT_SECONDS, LEASE_SECONDS, extend
from app.db.session import UNREACHABLE, unit_of_work
from app.domain.errors import LeaseLost

if TYPE_CHECKING:
    from types import TracebackType

    from sqlalchemy import Engine

log = structlog.get_logger()
SELF_FENCE_SECONDS = LEASE_SECONDS - 2 * HEARTBEAT_SECONDS
"""Without the database for this long a holder must assume that others will take over."""


class Heartbeat:
    """Extends a lease for the time of a with block; `lost` is set once somebody else holds the work, or may."""

    def __init__(self, engine: Engine, table: type[Any], work_id: str, token: int) -> None:
        self.engine, self.table, self.work_id, self.token = engine, table, work_id, token
        self.lost = threading.Event()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End."""
        self._done.set()
        self._thread.join()

    def check(self) -> None:
        """Raise LeaseLost once the work is, or may be, somebody else's."""
        if self.lost.is_set():
            message = "The lease was lost."
            raise LeaseLost(message)

    def _beat(self) -> None:
        extended = time.monotonic()
        while not self._done.wait(HEARTBEAT_SECONDS):
            try:
                with unit_of_work(self.engine) as session:
                    extend(session, self.table, self.work_id, self.token)
                extended = time.monotonic()
            except LeaseLost:
                # Also when the work has just ended: then nobody asks any more.
                self.lost.set()
                return
            except UNREACHABLE as error:
                log.warning("the database does not answer", work=self.work_id, error=str(error))
                if time.monotonic() - extended > SELF_FENCE_SECONDS:
                    self.lost.set()
                    return
