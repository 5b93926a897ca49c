"""The sign that a lease is still held, given from a thread of its own: neither a long zip nor a slow start may look like death."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Self

import structlog

from app.db.leases import count_refused, extend, is_taken_over
from app.db.session import UNREACHABLE, unit_of_work
from app.domain.errors import LeaseLost

if TYPE_CHECKING:
    from types import TracebackType

    from sqlalchemy import Engine

log = structlog.get_logger()
BEATS_PER_LEASE = 4
TRIES_PER_LEASE = 60
"""How often a sign is tried that the database did not take: it has to get there before half a lease is over."""


class Heartbeat:
    """Extends a lease for the time of a with block; `lost` is set once somebody else holds the work, or may.

    That it may is known from this process's own clock: half a lease after the database last took a sign, whatever hangs.
    """

    def __init__(self, engine: Engine, table: type[Any], work_id: str, token: int, lease_seconds: float) -> None:
        self.engine, self.table, self.work_id, self.token, self.lease_seconds = engine, table, work_id, token, lease_seconds
        self.lost = threading.Event()
        self._extended = time.monotonic()
        self._done = threading.Event()
        self._thread = threading.Thread(target=copy_context().run, args=(self._beat,), name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End."""
        self.stop()
        self._thread.join()

    def stop(self) -> None:
        """Give no more signs: the work is settled."""
        self._done.set()

    def check(self) -> None:
        """Raise LeaseLost once the work is, or may be, somebody else's."""
        if time.monotonic() - self._extended > self.lease_seconds / 2:
            self.lost.set()
        if self.lost.is_set():
            message = "The lease was lost."
            raise LeaseLost(message)

    def _beat(self) -> None:
        pause = self.lease_seconds / BEATS_PER_LEASE
        while not self._done.wait(pause):
            asked = time.monotonic()  # the lease is counted from no later than this
            try:
                with unit_of_work(self.engine) as session:
                    extend(session, self.table, self.work_id, self.token, self.lease_seconds)
                self._extended, pause = asked, self.lease_seconds / BEATS_PER_LEASE
            except LeaseLost:
                # Also when the work has just ended: then nobody asks any more.
                self.lost.set()
                if not self._done.is_set():
                    self._count_if_refused()
                return
            except UNREACHABLE as error:
                log.warning("the database does not answer", error=str(error))
                pause = self.lease_seconds / TRIES_PER_LEASE

    def _count_if_refused(self) -> None:
        with suppress(*UNREACHABLE):
            if is_taken_over(self.engine, self.table, self.work_id, self.token):
                count_refused(self.engine)
