"""What a holder may do with its work whether or not a child is at it: write, wait for what is away, and bring the work to its end."""

from __future__ import annotations

import signal
import time
from concurrent.futures import wait
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import structlog
from sqlalchemy import select

from app.db import Run
from app.db.leases import holding
from app.db.session import UNREACHABLE, reading
from app.domain.errors import LeaseLost, StorageUnavailable
from app.domain.events import Finished, Started
from app.domain.runs import WANTED_END, RunStatus
from app.services.probe import Probe
from workers.heartbeat import Heartbeat
from workers.kinds import fail, lose, settle, tell
from workers.memory import kernel_kills
from workers.packing import Packing
from workers.watchdog import Watchdog

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from contextlib import AbstractContextManager

    from sqlalchemy.orm import Session

    from app.domain.events import AnyEvent
    from workers.child import Child
    from workers.kinds import Kind, Work
    from workers.run_log import LogTail
    from workers.worker import Worker

log = structlog.get_logger()
T = TypeVar("T")
LOOK_SECONDS = 0.25
ASK_SECONDS = 1.0
"""How often the wishes of people are read."""
OUT_OF_MEMORY = "The machine's memory ran out, and the system ended the trainer."


class Held:
    """One lease on one piece of work, as far as it goes without a child; `claim.Hold` is the rest."""

    def __init__(self, worker: Worker, kind: Kind, work_id: str, token: int) -> None:
        self.worker, self.kind, self.work_id, self.token = worker, kind, work_id, token
        self.child: Child | None = None
        self.finished: Finished | None = None
        self.has_begun = False
        self.told: RunStatus | None = None
        self.leave_by: float | None = None
        self.interrupted = False
        self.given_up = ""
        self.stall_told = False
        self.unwritten: list[AnyEvent] = []
        self.in_doubt: tuple[int, int] | None = None
        self.logged = time.monotonic()
        # As it was when the child was last known to live; what happened long before it died has nothing to do with that.
        self.kills_before = self.kills_lately = kernel_kills()
        self.watchdog = Watchdog(worker.settings.stall_minutes)
        self.heartbeat = Heartbeat(worker.engine, kind.table, work_id, token, worker.lease_seconds)
        self.packing = Packing(worker, work_id, token)

    def _hear(self, events: list[AnyEvent]) -> None:
        self.unwritten += self.packing.through(events)
        self.finished = next((e for e in events if isinstance(e, Finished)), self.finished)
        self.has_begun = self.has_begun or any(isinstance(e, Started) for e in events)
        self.watchdog.hear(events)
        if events:
            # One look ago: by now the kernel may have taken the child already.
            self.kills_before, self.kills_lately = self.kills_lately, kernel_kills()
        self.stall_told = self.stall_told and not events

    def _write(self, *, to_the_end: bool = False) -> None:
        """Enter what the child said, and now and then what it wrote into its log."""
        tail = self._tail_to_take(at_once=to_the_end)
        if not (self.unwritten or tail):
            return
        with self._holding() as (session, row):
            self._leave_out_entered(row)
            if self.unwritten:
                row.stalled_at = None
                self.kind.record(session, self.worker, row, self.unwritten)
                row.reports += 1
                self.in_doubt = row.reports, len(self.unwritten)
            if tail:
                tail.take(session, row, to_the_end=to_the_end)
        self.unwritten, self.in_doubt = [], None

    def _leave_out_entered(self, row: Work) -> None:
        """Forget what a commit took whose answer was lost, as when the database restarts: that report has its number."""
        if self.in_doubt and row.reports == self.in_doubt[0]:
            del self.unwritten[: self.in_doubt[1]]
        self.in_doubt = None

    def _tail_to_take(self, *, at_once: bool) -> LogTail | None:
        """Return the log if it is to be looked at now; what other children write is for whoever operates the machine."""
        if self.child is None or self.kind.table is not Run or not (at_once or time.monotonic() - self.logged >= ASK_SECONDS):
            return None
        self.logged = time.monotonic()
        return self.child.log if self.child.log.has_more() else None

    def _holding(self) -> AbstractContextManager[tuple[Session, Any]]:
        return holding(self.worker.engine, self.kind.table, self.work_id, self.token)

    def _status(self) -> RunStatus:
        table = self.kind.table
        with reading(self.worker.engine) as session:
            found = session.scalar(select(table.status).where(table.id == self.work_id, table.lease_token == self.token))
        if found is None:
            message = "Somebody else holds this work."
            raise LeaseLost(message)
        return RunStatus(found)

    def _wish(self) -> RunStatus | None:
        """Return the state as people want it; None while the database does not say."""
        try:
            return self._status()
        except UNREACHABLE as error:
            log.warning("the database does not answer", error=str(error))
            return None

    def _patiently(self, act: Callable[[], T], *, store_too: bool = True) -> T:
        """Do what needs the database or the store; one that is away is waited for while the lease may hold and nobody calls it off."""
        told = False
        while True:
            try:
                return act()
            except UNREACHABLE as error:
                log.warning("the database does not answer; this is tried again", error=str(error))
            except StorageUnavailable as error:
                if not store_too:
                    raise
                log.warning("the store cannot be had; this is tried again", error=error.message)
                if self.worker.leaving.is_set() or self._wish() in {RunStatus.CANCELLING, RunStatus.PAUSING}:
                    raise
                told = told or self._tell_of_the_store(error.message)
            time.sleep(ASK_SECONDS)
            self.heartbeat.check()

    def _tell_of_the_store(self, why: str) -> bool:
        """Say why nothing happens; False when the database does not take it either."""
        try:
            with self._holding() as (session, row):
                tell(session, row, "notice", f"It waits for the store. {why}")
        except UNREACHABLE:
            return False
        return True

    def _hand_back(self, why: str) -> None:
        """Leave work that waits for the store: to whoever is next, or as it was asked to end."""
        with self._holding() as (session, row):
            tell(session, row, "interrupted", f"It waited for the store. {why}")
            if row.status != RunStatus.STOPPING:  # for what was to be kept the lease runs out: a sweep keeps it once the store is back
                settle(session, self.worker, self.kind, row, WANTED_END.get(RunStatus(row.status), RunStatus.QUEUED))

    def _settle(self) -> None:
        """Bring the work to the state its end means."""
        self.unwritten += self.packing.rest(lambda: self._may_wait() and not self._is_late())
        self._patiently(self._end)

    def _may_wait(self) -> bool:
        """Return whether the end may still take a while; LeaseLost when the work is, or may be, somebody else's."""
        self.heartbeat.check()
        return self._wish() != RunStatus.CANCELLING

    def _end(self) -> None:
        self._write(to_the_end=True)
        finished = self.finished
        if finished and finished.status == "failed":
            self._fail(finished.reason, finished.code, finished.data)
        elif finished and finished.status == "succeeded":
            self._succeed(finished)
        elif self._status() == RunStatus.STOPPING:
            self._keep_and(RunStatus.STOPPED, finished)
        else:
            self._end_without_result()

    def _end_without_result(self) -> None:
        with self._holding() as (session, row):
            wanted = WANTED_END.get(RunStatus(row.status))
            if wanted and (self.finished or self.told):
                settle(session, self.worker, self.kind, row, wanted)
                tell(session, row, wanted, f"It is {wanted}.")
            elif self.interrupted or self.finished:
                # No crash is counted: the worker was told to leave.
                settle(session, self.worker, self.kind, row, wanted or RunStatus.QUEUED)
                tell(session, row, "interrupted", "The worker was told to leave; another takes over where this one stood.")
            else:
                self._enter_crash(session, row)

    def _enter_crash(self, session: Session, row: Work) -> None:
        """Count a crash, unless it is known to come again: who needs more memory than there is needs it the next time, too."""
        assert self.child  # noqa: S101 - for the type checker: it was started
        code = self.child.process.returncode
        if code == -signal.SIGKILL and not self.child.was_killed and kernel_kills() > self.kills_before:
            fail(session, self.worker, self.kind, row, reason=OUT_OF_MEMORY, code="out_of_memory_host", data={"while": self.watchdog.phase})
        elif self.given_up:
            lose(session, self.worker, self.kind, row, self.given_up, code="stalled")
        else:
            lose(session, self.worker, self.kind, row, _end_in_words(code))

    def _succeed(self, finished: Finished) -> None:
        with self._holding() as (_, row):
            if row.status == RunStatus.STARTING:
                row.move_to(RunStatus.RUNNING)
            if row.status not in {RunStatus.CANCELLING, RunStatus.FINALIZING}:
                row.move_to(RunStatus.FINALIZING)
        self._keep_and(RunStatus.SUCCEEDED, finished)

    def _keep_and(self, end: RunStatus, finished: Finished | None) -> None:
        """Put what the child left into the store, and enter it together with the end state; a late cancel wins."""
        packing = self._pack_and_listen(finished, may_take_long=end == RunStatus.STOPPED)
        if packing is None:
            self._end_without_result()
            return
        package = packing.result()
        try:
            # With the same package: what it holds may have moved into the store already, though its row was not committed. A store that
            # has lost it meanwhile needs it packed again.
            self._patiently(partial(self._enter_end, end, package), store_too=False)
        finally:
            if package is not None:
                self.kind.discard(self.worker, package)

    def _enter_end(self, end: RunStatus, package: Any) -> None:
        with self._holding() as (session, row):
            if row.status == RunStatus.CANCELLING:
                end = RunStatus.CANCELLED
            elif package is not None:
                self.kind.keep(session, self.worker, row, package)
            settle(session, self.worker, self.kind, row, end)
            words = {RunStatus.SUCCEEDED: "It is done.", RunStatus.STOPPED: "It was stopped; what it had learned is kept."}
            tell(session, row, end, words.get(end, f"It was {end}."))

    def _pack_and_listen(self, finished: Finished | None, *, may_take_long: bool) -> Future[Any] | None:
        """Pack what the child left, and meanwhile listen; None when that was cancelled, or this worker has to leave before it is done."""
        packing = aside(partial(self.kind.package, self.worker, self.work_id, self.token, finished))
        is_wanted = False
        try:
            while not wait([packing], timeout=LOOK_SECONDS).done:
                if not self._may_wait() or (self._is_late() and not may_take_long):
                    return None
            is_wanted = True
            return packing
        finally:
            if not is_wanted:
                packing.add_done_callback(self._discard_unwanted)

    def _discard_unwanted(self, packing: Future[Any]) -> None:
        """Let go of what was packed after all, when nobody waits for it any more."""
        if not packing.exception() and packing.result() is not None:
            self.kind.discard(self.worker, packing.result())

    def _is_late(self) -> bool:
        """Return whether this worker was told to leave so long ago that it has to."""
        if self.worker.leaving.is_set() and self.leave_by is None:
            self.leave_by = time.monotonic() + self.worker.grace_seconds
        return self.leave_by is not None and time.monotonic() > self.leave_by

    def _fail(self, reason: str, code: str | None, data: dict[str, Any]) -> None:
        log.info("failed", reason=reason)

        def enter() -> None:
            with self._holding() as (session, row):
                fail(session, self.worker, self.kind, row, reason=reason, code=code, data=data)

        self._patiently(enter)


def aside(act: Callable[[], T]) -> Future[T]:
    """Do something slow in a thread of its own; not in a pool, whose threads this process would wait for before it ends."""
    return Probe(partial(copy_context().run, act)).start()


def _end_in_words(code: int | None) -> str:
    if code is None:
        return "The process was killed and did not end: it hangs in the system, most often in the GPU's driver."
    return f"The process ended by itself ({f'signal {-code}' if code < 0 else f'exit {code}'})."
