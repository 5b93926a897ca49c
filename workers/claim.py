"""`claim_and_run`: take the next waiting piece of work and see it through, whoever rang. One function, three doorbells."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import httpx
import structlog
from sqlalchemy import select

from app.db import Run
from app.db.holds import begin_hold
from app.db.leases import claim, held
from app.db.session import UNREACHABLE, reading, unit_of_work
from app.domain.errors import LeaseLost, StudioError
from app.domain.events import Command, Finished
from app.domain.runs import WANTED_END, RunStatus
from workers.heartbeat import Heartbeat
from workers.kinds import KINDS, lose, settle, tell
from workers.packing import Packing

if TYPE_CHECKING:
    from app.domain.events import AnyEvent
    from workers.child import Child
    from workers.kinds import Kind
    from workers.worker import Worker

log = structlog.get_logger()
LOOK_SECONDS = 0.25
ASK_SECONDS = 1.0
"""How often the wishes of people are read."""
PATIENCE_SECONDS = {"cancel": 10.0, "pause": 60.0, "stop": 60.0}
"""How long a child may take to follow a command before it is killed."""
GPU = "cuda:0"
"""What a worker's trainer sees as its GPU."""
YIELD_SECONDS = 60.0
"""The server answers once the memory is free, which may wait for a large base that is just being loaded."""
COMMANDS: dict[RunStatus, Command] = {
    RunStatus.PAUSING: Command(command="pause"),
    RunStatus.STOPPING: Command(command="stop"),
    RunStatus.CANCELLING: Command(command="cancel"),
}


def claim_and_run(worker: Worker) -> bool:
    """Take one waiting piece of work of the worker's queue and run it to its end; False when nothing waits or all slots are busy."""
    if worker.leaving.is_set() or not worker.free.acquire(blocking=False):
        return False
    try:
        with worker.device_lock.taken() as is_free:
            worker.note_device(is_free=is_free)
            return is_free and _claim_and_run(worker)
    finally:
        worker.free.release()


def _claim_and_run(worker: Worker) -> bool:
    for kind in (kind for kind in KINDS.values() if kind.queue == worker.queue):
        with unit_of_work(worker.engine) as session:
            row = claim(session, kind.table, worker.id, worker.queue, has_gpu=worker.has_gpu, lease_seconds=worker.lease_seconds)
            if isinstance(row, Run):
                begin_hold(session, row, host=worker.host, device=worker.device)
        if row is not None:
            with worker.busy_with(row.id):
                Hold(worker, kind, row.id, row.lease_token).run()
            return True
    return False


class Hold:
    """One lease on one piece of work, from the claim to its end."""

    def __init__(self, worker: Worker, kind: Kind, work_id: str, token: int) -> None:
        self.worker, self.kind, self.work_id, self.token = worker, kind, work_id, token
        self.finished: Finished | None = None
        self.told: RunStatus | None = None
        self.kill_at: float | None = None
        self.interrupted = False
        self.unwritten: list[AnyEvent] = []
        self.asked = time.monotonic()
        self.heartbeat = Heartbeat(worker.engine, kind.table, work_id, token, worker.lease_seconds)
        self.packing = Packing(worker, work_id, token)
        self.log = log.bind(work=work_id, token=token)

    def run(self) -> None:
        """Run the child, relay what it says, follow what people ask, and settle the end."""
        self.log.info("claimed")
        borrower = self._gpu_borrower()
        try:
            with self.heartbeat:
                self._lend_gpu("/yield", borrower)
                exit_code = self._run_child()
                self._settle(exit_code)
        except LeaseLost:
            self.log.warning("the lease was lost; the child was ended and nothing was written")
        except StudioError as error:
            self._fail(error.message, error.code)
        except OSError as error:
            self._fail(f"The worker could not handle the run's files: {error.strerror or error}.", "storage")
        finally:
            self.packing.close()
            self._lend_gpu("/resume", borrower)

    def _run_child(self) -> int:
        """Start the child and stay with it until it has gone; return its exit code."""
        child = self.kind.start(self.worker, self.work_id, self.token)
        try:
            self._watch(child)
        finally:
            child.kill()
        return child.process.returncode

    def _watch(self, child: Child) -> None:
        """Relay events until the child has closed its pipe; LeaseLost when somebody else holds the work."""
        ended = False
        while not ended:
            events, ended = child.drain(LOOK_SECONDS)
            self.unwritten += self.packing.through(events)
            self.finished = next((e for e in events if isinstance(e, Finished)), self.finished)
            self.heartbeat.check()
            try:
                self._hear_wishes(child)
                self._write()
            except UNREACHABLE as error:
                self.log.warning("the database does not answer", error=str(error))
            self._leave_if_asked(child)
            if self.kill_at is not None and time.monotonic() > self.kill_at:
                self.log.warning("the child did not leave in time and was killed")
                child.kill()

    def _write(self) -> None:
        if self.unwritten:
            with unit_of_work(self.worker.engine) as session:
                row = held(session, self.kind.table, self.work_id, self.token)
                self.kind.record(session, self.worker, row, self.unwritten)
            self.unwritten = []

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

    def _follow(self, child: Child, status: RunStatus) -> None:
        """Pass on what people ask; a stronger wish replaces a weaker one."""
        command = COMMANDS.get(status)
        if command and status != self.told:
            self.told = status
            child.ask(command)
            self.kill_at = time.monotonic() + PATIENCE_SECONDS[command.command]

    def _leave_if_asked(self, child: Child) -> None:
        """Have the child keep what it has when this worker is told to leave."""
        if self.worker.leaving.is_set() and not self.interrupted:
            self.interrupted = True
            child.terminate()
            deadline = time.monotonic() + self.worker.grace_seconds
            self.kill_at = min(self.kill_at, deadline) if self.kill_at else deadline

    def _settle(self, exit_code: int) -> None:
        """Bring the work to the state its end means; a database that is away is waited for while the lease may hold."""
        self.unwritten += self.packing.rest(self._may_wait)
        while True:
            try:
                self._end(exit_code)
            except UNREACHABLE as error:
                self.log.warning("the database does not answer; the end is entered later", error=str(error))
                time.sleep(ASK_SECONDS)
                self.heartbeat.check()
            else:
                return

    def _may_wait(self) -> bool:
        """Return whether the end may still take a while; LeaseLost when the work is, or may be, somebody else's."""
        self.heartbeat.check()
        try:
            return self._status() != RunStatus.CANCELLING
        except UNREACHABLE:
            return True

    def _end(self, exit_code: int) -> None:
        self._write()
        finished = self.finished
        if finished and finished.status == "failed":
            self._fail(finished.reason, finished.code)
        elif finished and finished.status == "succeeded":
            self._succeed(finished)
        elif self._status() == RunStatus.STOPPING:
            self._keep_and(RunStatus.STOPPED, finished)
        else:
            self._end_without_result(exit_code)

    def _end_without_result(self, exit_code: int) -> None:
        with unit_of_work(self.worker.engine) as session:
            row = held(session, self.kind.table, self.work_id, self.token)
            wanted = WANTED_END.get(RunStatus(row.status))
            if wanted and (self.finished or self.told):
                settle(session, self.worker, self.kind, row, wanted)
                tell(session, row, wanted, f"It is {wanted}.")
            elif self.interrupted or self.finished:
                # No crash is counted: the worker was told to leave.
                settle(session, self.worker, self.kind, row, wanted or RunStatus.QUEUED)
                tell(session, row, "interrupted", "The worker was told to leave; another takes over where this one stood.")
            else:
                how = f"signal {-exit_code}" if exit_code < 0 else f"exit {exit_code}"
                lose(session, self.worker, self.kind, row, f"The process ended by itself ({how}).")

    def _succeed(self, finished: Finished) -> None:
        with unit_of_work(self.worker.engine) as session:
            row = held(session, self.kind.table, self.work_id, self.token)
            if row.status == RunStatus.STARTING:
                row.move_to(RunStatus.RUNNING)
            if row.status not in {RunStatus.CANCELLING, RunStatus.FINALIZING}:
                row.move_to(RunStatus.FINALIZING)
        self._keep_and(RunStatus.SUCCEEDED, finished)

    def _keep_and(self, end: RunStatus, finished: Finished | None) -> None:
        """Put what the child left into the store, and enter it together with the end state; a late cancel wins."""
        package = self.kind.package(self.worker, self.work_id, self.token, finished)
        with unit_of_work(self.worker.engine) as session:
            row = held(session, self.kind.table, self.work_id, self.token)
            if row.status == RunStatus.CANCELLING:
                end = RunStatus.CANCELLED
            elif package is not None:
                self.kind.keep(session, self.worker, row, package)
            settle(session, self.worker, self.kind, row, end)
            done = "It is done." if isinstance(row, Run) else "The file was read."
            words = {RunStatus.SUCCEEDED: done, RunStatus.STOPPED: "It was stopped; what it had learned is kept."}
            tell(session, row, end, words.get(end, f"It was {end}."))

    def _fail(self, reason: str, code: str | None) -> None:
        self.log.info("failed", reason=reason)
        with unit_of_work(self.worker.engine) as session:
            row = held(session, self.kind.table, self.work_id, self.token)
            row.error_code = code
            end, why = (RunStatus.CANCELLED, "") if row.status == RunStatus.CANCELLING else (RunStatus.FAILED, reason)
            settle(session, self.worker, self.kind, row, end, reason=why)
            tell(session, row, "failed", reason)

    def _gpu_borrower(self) -> str | None:
        """Return the name under which this work takes the GPU that chats may be using; None when it takes none."""
        if not self.worker.has_gpu:
            return None
        with reading(self.worker.engine) as session:
            row = session.get_one(self.kind.table, self.work_id)
            settings = (getattr(row, "spec", None) or {}).get("settings", {})
            return None if settings.get("device") == "cpu" else str(getattr(row, "name", "an import"))

    def _lend_gpu(self, path: str, borrower: str | None) -> None:
        """Have the inference server free the GPU for a run (/yield), or take it again (/resume)."""
        if borrower is not None:
            tell_inference(self.worker, path, {"device": GPU, "run": borrower})


def tell_inference(worker: Worker, path: str, body: dict[str, str]) -> None:
    """Tell the inference server of this studio something about the GPU; a server that is away has none to give."""
    url, key = worker.settings.inference_url, worker.settings.inference_key
    if not (worker.has_gpu and url and key):
        return
    headers = {"Authorization": f"Bearer {key.get_secret_value()}"}
    try:
        httpx.post(url + path, json=body, headers=headers, timeout=YIELD_SECONDS, trust_env=False).raise_for_status()
    except httpx.HTTPError as error:
        log.warning("the inference server could not be told", path=path, error=str(error))
