"""`claim_and_run`: take the next waiting piece of work and see it through, whoever rang. One function, three doorbells."""

from __future__ import annotations

import time
from concurrent.futures import wait
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from structlog.contextvars import bound_contextvars

from app.db import Run
from app.db.base import database_clock
from app.db.holds import begin_hold
from app.db.leases import claim
from app.db.session import UNREACHABLE, unit_of_work
from app.domain.errors import LeaseLost, StorageUnavailable, StudioError
from app.domain.events import Command
from app.domain.runs import RunStatus
from workers.ending import ASK_SECONDS, LOOK_SECONDS, Held, aside
from workers.kinds import in_log, kinds_of, tell
from workers.lending import LentGpu, borrower_of
from workers.training.room import free_bytes, no_room, ran_out

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from workers.child import Child
    from workers.kinds import Kind
    from workers.worker import Worker

log = structlog.get_logger()
PATIENCE_SECONDS = {"cancel": 10.0, "pause": 50.0, "stop": 60.0}
"""How long a child may take to follow a command before it is killed."""
NOTHING_TO_KEEP_SECONDS = 2.0
COMMANDS: dict[RunStatus, Command] = {
    RunStatus.PAUSING: Command(command="pause"),
    RunStatus.STOPPING: Command(command="stop"),
    RunStatus.CANCELLING: Command(command="cancel"),
}


def claim_and_run(worker: Worker, kinds: Sequence[Kind] = ()) -> bool:
    """Take one waiting piece of work and run it to its end; False when nothing waits or the device is not free.

    `kinds`: which kinds of work are taken, by default all of the worker's queue.
    """
    if worker.leaving.is_set():
        return False
    with worker.device_lock.taken() as is_free:
        worker.note_device(is_free=is_free)
        return is_free and _claim_and_run(worker, kinds or kinds_of(worker.queue))


def _claim_and_run(worker: Worker, kinds: Sequence[Kind]) -> bool:
    for kind in kinds:
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


class Hold(Held):
    """One lease on one piece of work, from the claim to its end."""

    def __init__(self, worker: Worker, kind: Kind, work_id: str, token: int) -> None:
        super().__init__(worker, kind, work_id, token)
        self.kill_at: float | None = None
        self.asked = time.monotonic()

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
        borrower = self._patiently(lambda: borrower_of(self.worker, self.work_id, self.token))
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

        making = aside(prepare)
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


def _place_of(error: OSError, worker: Worker) -> Path:
    """Return the folder that an error speaks of; a write that failed names none, and then the one with the least room is meant."""
    place = Path(error.filename).parent if isinstance(error.filename, str) else None
    ours = (worker.settings.home, worker.settings.runs, worker.settings.store)
    return place if place and place.is_dir() else min((folder for folder in ours if folder.is_dir()), key=free_bytes)
