"""Every kind of write is refused to a holder whose lease somebody else has taken over, and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select, update

from app.config import Settings
from app.db import Base, Counter, Import, Run, Webhook
from app.db.counters import STALE_WRITE_REJECTED, counted
from app.db.holds import begin_hold
from app.db.leases import claim, extend
from app.db.session import reading, unit_of_work
from app.domain.datasets import DatasetStatus, ImportReport
from app.domain.errors import LeaseLost
from app.domain.events import AnyEvent, Checkpoint, Finished, Metric, Notice, Progress, Started
from app.domain.runs import RunStatus
from app.domain.webhooks import Ending
from app.gateways.storage import LocalStorage
from app.services.accounts import Identity
from tests.databases import add_dataset, add_import, add_run
from workers.claim import Hold
from workers.dataset_tasks import Made
from workers.import_work import ImportWork, out_file
from workers.packing import PackedCheckpoint
from workers.run_checkpoints import newest_good_checkpoint, run_folder
from workers.run_log import LogTail
from workers.training_work import PackedAdapter, TrainingWork
from workers.worker import Worker

DONE = Finished(status="succeeded")
CRASHED = 11


class PackedTraining(TrainingWork):
    """Training whose adapter is packed already."""

    def package(self, worker: Worker, work_id: str, token: int, _finished: Finished | None) -> PackedAdapter:
        packed = worker.storage.incoming / f"adapter-{work_id}-t{token}.zip"
        packed.write_bytes(b"weights")
        return PackedAdapter(worker.storage.seal(packed), None)


class ReadImport(ImportWork):
    """An import whose report is there."""

    def package(self, worker: Worker, work_id: str, token: int, _finished: Finished | None) -> Made:
        rows = out_file(worker, work_id, token, "rows")
        rows.write_bytes(b"rows")
        report = ImportReport(status=DatasetStatus.READY, format="chat", rows=3, train_rows=2, test_rows=1)
        return Made(report.model_dump(mode="json"), files={"rows": worker.storage.seal(rows)})


class Ended:
    """A child that has written a line and died."""

    def __init__(self, folder: Path) -> None:
        self.process, self.was_killed = self, False
        self.returncode = -CRASHED
        self.log = LogTail(folder / "log.txt")
        (folder / "log.txt").write_text("a line\n")


def say(*events: AnyEvent) -> Callable[[Hold], None]:
    def write(hold: Hold) -> None:
        hold.unwritten = list(events)
        hold._write()

    return write


def pack_a_checkpoint(hold: Hold) -> None:
    packed = hold.worker.storage.incoming / "checkpoint.tar"
    packed.write_bytes(b"a tar")
    say(PackedCheckpoint(step=10, path="checkpoints/10-t1", packed=hold.worker.storage.seal(packed)))(hold)


def run_out_of_room(hold: Hold) -> None:
    say(Notice(message="The disk is full.", data={"code": "disk_full"}))(hold)


def write_log(hold: Hold) -> None:
    hold.child = Ended(hold.worker.settings.home)  # type: ignore[assignment]
    hold._write(to_the_end=True)


def find_a_broken_checkpoint(hold: Hold) -> None:
    newest_good_checkpoint(hold.worker, hold.work_id, hold.token)


def tell_of_silence(hold: Hold) -> None:
    hold.watchdog._stall_seconds = 0
    hold._tell_of_a_stall()


def leave(hold: Hold) -> None:
    hold.interrupted = True
    hold._end_without_result()


def crash(hold: Hold) -> None:
    hold.child = Ended(hold.worker.settings.home)  # type: ignore[assignment]
    hold._end_without_result()


def keep(hold: Hold) -> None:
    packed: Future[Any] = Future()
    packed.set_result(hold.kind.package(hold.worker, hold.work_id, hold.token, DONE))
    hold._pack_and_listen = lambda *_, **__: packed  # type: ignore[method-assign]
    hold._keep_and(RunStatus.STOPPED, DONE)


def beat(hold: Hold) -> None:
    with unit_of_work(hold.worker.engine) as session:
        extend(session, hold.kind.table, hold.work_id, hold.token, 1000)


RUN_WRITES: dict[str, Callable[[Hold], None]] = {
    "that it has begun": say(Started(total_steps=9, message="It began.")),
    "a metric": say(Metric(step=2, name="eval/loss", value=1.0)),
    "a step": say(Metric(step=2, name="train/loss", value=1.0)),
    "a notice": say(Notice(message="Rows were cut.")),
    "a checkpoint": say(Checkpoint(step=20, path="checkpoints/20-t1")),
    "that a checkpoint is in the store": pack_a_checkpoint,
    "that it has no room for a checkpoint": run_out_of_room,
    "a piece of log": write_log,
    "that a checkpoint is broken": find_a_broken_checkpoint,
    "that it is silent": tell_of_silence,
    "that it was interrupted": leave,
    "that it waits for the store": lambda hold: hold._hand_back("It does not answer."),
    "that it crashed": crash,
    "that it failed": lambda hold: hold._fail("No row has an answer.", "no_trained_tokens", {}),
    "that its disk is full": lambda hold: hold._fail("The disk is full.", "disk_full", {}),
    "that it is being packed": lambda hold: hold._succeed(DONE),
    "the adapter": keep,
    "a sign of life": beat,
}
IMPORT_WRITES: dict[str, Callable[[Hold], None]] = {
    "how far it is": say(Progress(done=1, total=2, rows=1)),
    "a notice": say(Notice(message="Lines were left out.")),
    "the rows and the report": keep,
    "that it failed": lambda hold: hold._fail("No row is usable.", "no_rows", {}),
}


@pytest.fixture
def worker(engine: Engine, tmp_path: Path) -> Worker:
    return Worker(Settings(home=tmp_path), "gpu", 1, 2.0, engine, LocalStorage(tmp_path / "artifacts"), "CPU", has_gpu=False)


@pytest.fixture
def dataset_id(engine: Engine, owner: Identity) -> str:
    """A dataset, in a project that sends notices."""
    known = {"url": "https://example.com", "studio_address": "http://studio", "secret": "x", "secret_key_id": "x"}
    with unit_of_work(engine) as session:
        session.add(Webhook(project_id=owner.project_id, events=list(Ending), **known))
    return add_dataset(engine, owner)


def take(engine: Engine, table: type[Run | Import], queue: str) -> None:
    with unit_of_work(engine) as session:
        session.execute(update(table).values(status="queued"))
        row = claim(session, table, "w", queue, has_gpu=False)
        assert row is not None
        if isinstance(row, Run):
            begin_hold(session, row, host="here", device="CPU")
        row.move_to(RunStatus.STOPPING)


def hold_run(worker: Worker, owner: Identity, dataset_id: str) -> Hold:
    """Return the hold on a run that somebody asked to stop, with a checkpoint whose folder is broken."""
    run_id = add_run(worker.engine, owner, dataset_id)
    take(worker.engine, Run, "gpu")
    hold = Hold(worker, PackedTraining(), run_id, 1)
    for step in (5, 10):
        (run_folder(worker, run_id) / "checkpoints" / f"{step}-t1").mkdir(parents=True)
        say(Checkpoint(step=step, path=f"checkpoints/{step}-t1"))(hold)
    return hold


def hold_import(worker: Worker, owner: Identity, dataset_id: str) -> Hold:
    import_id = add_import(worker.engine, owner, dataset_id)
    take(worker.engine, Import, "cpu")
    return Hold(worker, ReadImport(), import_id, 1)


def everything(worker: Worker) -> list[Any]:
    """Return all rows but the counters, what lies in the store, and which checkpoints lie on the disk."""
    tables = [table for table in Base.metadata.sorted_tables if table.name != Counter.__tablename__]
    with reading(worker.engine) as session:
        rows = [sorted(map(repr, session.execute(select(table)))) for table in tables]
    folders = (worker.storage.folder / "blobs", worker.settings.runs)
    return [*rows, *(sorted(path.name for path in folder.rglob("*")) for folder in folders)]


def refuse(worker: Worker, hold: Hold, write: Callable[[Hold], None], *, counts: bool) -> None:
    take(worker.engine, hold.kind.table, hold.kind.queue)
    before = everything(worker)
    with pytest.raises(LeaseLost):
        write(hold)
    assert everything(worker) == before
    with reading(worker.engine) as session:
        assert counted(session) == ({STALE_WRITE_REJECTED: 1} if counts else {})


@pytest.mark.parametrize("what", RUN_WRITES)
def test_who_lost_a_run_writes_nothing(worker: Worker, owner: Identity, dataset_id: str, what: str) -> None:
    # A refused sign of life is counted by the heartbeat, which knows whether the work was taken over or has just ended.
    refuse(worker, hold_run(worker, owner, dataset_id), RUN_WRITES[what], counts=what != "a sign of life")


@pytest.mark.parametrize("what", IMPORT_WRITES)
def test_who_lost_an_import_writes_nothing(worker: Worker, owner: Identity, dataset_id: str, what: str) -> None:
    refuse(worker, hold_import(worker, owner, dataset_id), IMPORT_WRITES[what], counts=True)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize("what", RUN_WRITES)
def test_who_holds_a_run_writes(worker: Worker, owner: Identity, dataset_id: str, what: str) -> None:
    """The control: with the lease every one of these leaves something."""
    hold = hold_run(worker, owner, dataset_id)
    before = everything(worker)
    if what == "that it has begun":
        with unit_of_work(worker.engine) as session:
            session.execute(update(Run).values(status="starting"))
    RUN_WRITES[what](hold)
    assert everything(worker) != before


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize("what", IMPORT_WRITES)
def test_who_holds_an_import_writes(worker: Worker, owner: Identity, dataset_id: str, what: str) -> None:
    hold = hold_import(worker, owner, dataset_id)
    before = everything(worker)
    IMPORT_WRITES[what](hold)
    assert everything(worker) != before
