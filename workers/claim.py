"""`claim_and_run`: take the next waiting piece of work and see it through, whoever rang. One function, three doorbells."""

from __future__ import annotations

import signal
import time
from concurrent.futures import wait
from contextvars import copy_context
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import structlog
from sqlalchemy import select
from structlog.contextvars import bound_contextvars

from app.db import Import, Run
from app.db.base import database_clock
from app.db.holds import begin_hold
from app.db.leases import claim, holding
from app.db.session import UNREACHABLE, reading, unit_of_work
from app.domain.errors import LeaseLost, StorageUnavailable, StudioError
from app.domain.events import Command, Finished, Started
from app.domain.runs import WANTED_END, RunStatus
from app.services.probe import Probe
from workers.heartbeat import Heartbeat
from workers.kinds import KINDS, fail, in_log, lose, settle, tell
from workers.lending import LentGpu, borrower_of
from workers.memory import kernel_kills
from workers.packing import Packing
from workers.training.room import free_bytes, no_room, ran_out
from workers.watchdog import Watchdog

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from contextlib import AbstractContextManager

    from sqlalchemy.orm import Session

    from app.domain.events import AnyEvent
    from workers.child import Child
    from workers.kinds import Kind
    from workers.run_log import LogTail
    from workers.worker import Worker

log = structlog.get_logger()
T = TypeVar("T")
LOOK_SECONDS = 0.25
ASK_SECONDS = 1.0
"""How often the wishes of people are read."""
PATIENCE_SECONDS = {"cancel": 10.0, "pause": 50.0, "stop": 60.0}
"""How long a child may take to follow a command before it is killed."""
NOTHING_TO_KEEP_SECONDS = 2.0
OUT_OF_MEMORY = "The machine's memory ran out, and the system ended the trainer."
COMMANDS: dict[RunStatus, Command] = {
    RunStatus.PAUSING: Command(command="pause"),
    RunStatus.STOPPING: Command(command="stop"),
    RunStatus.CANCELLING: Command(command="cancel"),
}


def claim_and_run(worker: Worker) -> bool:
    """Take one waiting piece of work of the worker's queue and run it to its end; False when nothing waits or the device is not free."""
    if worker.leaving.is_set():
        return False
    with worker.device_lock.taken() as is_free:
        worker.note_device(is_free=is_free)
        return is_free and _claim_and_run(worker)


def _claim_and_run(worker: Worker) -> bool:
    for kind in (kind for kind in KINDS.values() if kind.queue == worker.queue):
        with unit_of_work(worker.engine) as session:
            row = claim(session, kind.table, worker.id, worker.queue, has_gpu=worker.has_gpu, lease_seconds=worker.lease_seconds)
            if isinstance(row, Run):
                begin_hold(session, row, host=worker.host, device=worker.device)
        if row is not None:
            # On every line until its end, whoever logs it.
            with worker.busy_with(row.id), bound_contextvars(**in_log(row)):
                Hold(worker, kind, row.id, row.lease_token).run()
            return True
    return False


class Hold:
    """One lease on one piece of work, from the claim to its end."""

    def __init__(self, worker: Worker, kind: Kind, work_id: str, token: int) -> None:
        self.worker, self.kind, self.work_id, self.token = worker, kind, work_id, token
        self.child: Child | None = None
        self.finished: Finished | None = None
        self.has_begun = False
        self.told: RunStatus | None = None
        self.kill_at: float | None = None
        self.leave_by: float | None = None
        self.interrupted = False
        self.given_up = ""
        self.stall_told = False
        self.unwritten: list[AnyEvent] = []
        self.asked = self.logged = time.monotonic()
        # As it was when the child was last known to live; what happened long before it died has nothing to do with that.
        self.kills_before = self.kills_lately = kernel_kills()
        self.watchdog = Watchdog(worker.settings.stall_minutes)
        self.heartbeat = Heartbeat(worker.engine, kind.table, work_id, token, worker.lease_seconds)
        self.packing = Packing(worker, work_id, token)

    def run(self) -> None:
        """Run the child, relay what it says, follow what people ask, and settle the end."""
        log.info("claimed")
        try:
            with self.heartbeat:
                self._see_through()
        except LeaseLost:
            log.warning("the lease was lost; the child was ended and nothing was written")
        finally:
            self.packing.close(self.unwritten)

    def _see_through(self) -> None:
        borrower = self._patiently(lambda: borrower_of(self.worker, self.work_id))
        with LentGpu(self.worker, borrower) as gpu:
            self._work(gpu)
            # Whatever the next holder does while the GPU is given back is no refusal of this one.
            self.heartbeat.stop()

    def _work(self, gpu: LentGpu) -> None:
        try:
            start = self._patiently(partial(self._prepared, gpu))
            if start:
                self._run_child(start)
            self._settle()
        except LeaseLost:
            raise
        except StorageUnavailable as error:
            self._patiently(partial(self._hand_back, error.message))
        except StudioError as error:
            self._fail(error.message, error.code, error.data)
        except OSError as error:
            if ran_out(error):
                short = no_room(_place_of(error, self.worker))
                self._fail(short.message, short.code, short.data)
            else:
                self._fail(f"The worker could not handle the run's files: {error.strerror or error}.", "storage", {})

    def _prepared(self, gpu: LentGpu) -> Callable[[], Child] | None:
        """Make ready what the child needs, and meanwhile listen; None when it was called off, since nothing of it is worth waiting for."""

        def prepare() -> Callable[[], Child]:
            start = self.kind.prepare(self.worker, self.work_id, self.token)
            gpu.is_free.wait()
            return start

        making = _aside(prepare)
        while not wait([making], timeout=LOOK_SECONDS).done:
            if self._is_called_off():
                return None
        return making.result()

    def _is_called_off(self) -> bool:
        """Return whether work that has no child yet is to end; LeaseLost when it is, or may be, somebody else's."""
        self.heartbeat.check()
        self.interrupted = self.worker.leaving.is_set()
        if time.monotonic() - self.asked >= ASK_SECONDS:
            self.asked = time.monotonic()
            wish = self._wish()
            self.told = wish if wish in COMMANDS else None
        return self.interrupted or self.told is not None

    def _run_child(self, start: Callable[[], Child]) -> None:
        """Start the child and stay with it until nothing of it is left."""
        self.child = start()
        try:
            self._watch(self.child)
            self.child.let_end()
        finally:
            self.child.kill()

    def _watch(self, child: Child) -> None:
        """Relay events until the child has closed its pipe; LeaseLost when somebody else holds the work."""
        ended = False
        while not ended:
            events, ended = child.drain(LOOK_SECONDS)
            self._hear(events)
            self.heartbeat.check()
            try:
                self._hear_wishes(child)
                self._write()
                self._tell_of_a_stall()
            except UNREACHABLE as error:
                log.warning("the database does not answer", error=str(error))
            self._leave_if_asked(child)
            self._end_if_due(child)

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
            if self.unwritten:
                row.stalled_at = None
                self.kind.record(session, self.worker, row, self.unwritten)
            if tail:
                tail.take(session, row, to_the_end=to_the_end)
        self.unwritten = []

    def _tail_to_take(self, *, at_once: bool) -> LogTail | None:
        """Return the log if it is to be looked at now; an import's counts for nothing once it is read."""
        if self.child is None or self.kind.table is not Run or not (at_once or time.monotonic() - self.logged >= ASK_SECONDS):
            return None
        self.logged = time.monotonic()
        return self.child.log if self.child.log.has_more() else None

    def _holding(self) -> AbstractContextManager[tuple[Session, Any]]:
        return holding(self.worker.engine, self.kind.table, self.work_id, self.token)

    def _patiently(self, act: Callable[[], T]) -> T:
        """Do what needs the database or the store; one that is away is waited for while the lease may hold and nobody calls it off."""
        told = False
        while True:
            try:
                return act()
            except UNREACHABLE as error:
                log.warning("the database does not answer; this is tried again", error=str(error))
            except StorageUnavailable as error:
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

    def _tell_of_a_stall(self) -> None:
        if self.watchdog.is_stalled and not self.stall_told:
            with self._holding() as (session, row):
                row.stalled_at = database_clock() - self.watchdog.silent_seconds
                tell(session, row, "stalled", f"It seems to hang: {self.watchdog.in_words()}.")
            self.stall_told = True

    def _end_if_due(self, child: Child) -> None:
        """Kill a child that does not follow, or that has said nothing for far too long."""
        if self.kill_at is not None and time.monotonic() > self.kill_at:
            log.warning("the child did not leave in time and was killed")
            child.kill()
        elif self.watchdog.is_hopeless and not self.given_up:
            self.given_up = f"It hung, and so was ended: {self.watchdog.in_words()}."
            log.warning("the child was silent for too long and was killed")
            child.kill()

    def _hear_wishes(self, child: Child) -> None:
        if time.monotonic() - self.asked >= ASK_SECONDS:
            self.asked = time.monotonic()
            self._follow(child, self._status())

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

    def _follow(self, child: Child, status: RunStatus) -> None:
        """Pass on what people ask; a stronger wish replaces a weaker one."""
        command = COMMANDS.get(status)
        if command and status != self.told:
            self.told = status
            child.ask(command)
            self._expect_its_end(within=PATIENCE_SECONDS[command.command])

    def _leave_if_asked(self, child: Child) -> None:
        """Have the child keep what it has when this worker is told to leave."""
        if self.worker.leaving.is_set() and not self.interrupted:
            self.interrupted = True
            # What the child uses of the grace is gone for what comes after it.
            self.leave_by = time.monotonic() + self.worker.grace_seconds
            child.terminate()
            self._expect_its_end(within=self.worker.grace_seconds)

    def _expect_its_end(self, *, within: float) -> None:
        """Have the child killed later than that; one that is still being set up has nothing to keep, and cannot hear yet."""
        deadline = time.monotonic() + (within if self.has_begun else NOTHING_TO_KEEP_SECONDS)
        self.kill_at = min(self.kill_at, deadline) if self.kill_at else deadline

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

    def _enter_crash(self, session: Session, row: Run | Import) -> None:
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
            self._enter_end(end, package)
        finally:
            if package is not None:
                self.kind.discard(package)

    def _enter_end(self, end: RunStatus, package: Any) -> None:
        with self._holding() as (session, row):
            if row.status == RunStatus.CANCELLING:
                end = RunStatus.CANCELLED
            elif package is not None:
                self.kind.keep(session, self.worker, row, package)
            settle(session, self.worker, self.kind, row, end)
            done = "It is done." if isinstance(row, Run) else "The file was read."
            words = {RunStatus.SUCCEEDED: done, RunStatus.STOPPED: "It was stopped; what it had learned is kept."}
            tell(session, row, end, words.get(end, f"It was {end}."))

    def _pack_and_listen(self, finished: Finished | None, *, may_take_long: bool) -> Future[Any] | None:
        """Pack what the child left, and meanwhile listen; None when that was cancelled, or this worker has to leave before it is done."""
        packing = _aside(partial(self.kind.package, self.worker, self.work_id, self.token, finished))
        while not wait([packing], timeout=LOOK_SECONDS).done:
            if not self._may_wait() or (self._is_late() and not may_take_long):
                return None
        return packing

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


def _aside(act: Callable[[], T]) -> Future[T]:
    """Do something slow in a thread of its own; not in a pool, whose threads this process would wait for before it ends."""
    return Probe(partial(copy_context().run, act)).start()


def _end_in_words(code: int | None) -> str:
    if code is None:
        return "The process was killed and did not end: it hangs in the system, most often in the GPU's driver."
    return f"The process ended by itself ({f'signal {-code}' if code < 0 else f'exit {code}'})."


def _place_of(error: OSError, worker: Worker) -> Path:
    """Return the folder that an error speaks of; a write that failed names none, and then the one with the least room is meant."""
    place = Path(error.filename).parent if isinstance(error.filename, str) else None
    ours = (worker.settings.home, worker.settings.runs, worker.settings.store)
    return place if place and place.is_dir() else min((folder for folder in ours if folder.is_dir()), key=free_bytes)
