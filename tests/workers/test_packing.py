"""Checkpoints in the store: another home takes a run over from them; a store that is away costs words and no run."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from app.config import Settings
from app.db import CheckpointRow, EventRow, Run
from app.db.artifacts import Artifact
from app.db.leases import claim, held
from app.db.session import reading, unit_of_work
from app.domain.errors import StorageUnavailable, Unavailable
from app.domain.events import AnyEvent, Checkpoint, Metric, Notice
from app.domain.ports import Sealed
from app.gateways.queue import SilentQueue
from app.gateways.storage import LocalStorage
from app.services.accounts import Identity
from app.services.datasets import Datasets
from app.services.disk import Disk
from app.services.removal import Removal
from app.services.runs import Runs
from tests.databases import add_dataset, add_run
from workers import packing
from workers.child import Child
from workers.claim import claim_and_run
from workers.kinds import KINDS
from workers.packing import PackedCheckpoint, Packing
from workers.run_checkpoints import bytes_in, newest_good_checkpoint, run_folder
from workers.training.checkpoints import Checkpoints
from workers.training_work import TrainingWork
from workers.worker import Worker

TOKEN = 1


def make_worker(engine: Engine, home: Path, store: Path) -> Worker:
    settings = Settings(home=home, storage_url=store.as_uri())
    return Worker(settings, "gpu", 1, 2.0, engine, LocalStorage(store), "CPU", has_gpu=False)


@pytest.fixture
def worker(engine: Engine, tmp_path: Path) -> Worker:
    return make_worker(engine, tmp_path / "one", tmp_path / "store")


@pytest.fixture
def elsewhere(engine: Engine, tmp_path: Path) -> Worker:
    """A worker of another machine: the same database and store, a home of its own."""
    return make_worker(engine, tmp_path / "other", tmp_path / "store")


@pytest.fixture
def run_id(engine: Engine, owner: Identity) -> str:
    made = add_run(engine, owner, add_dataset(engine, owner))
    with unit_of_work(engine) as session:
        claim(session, Run, "one", "gpu", has_gpu=False)
    return made


@pytest.fixture
def packs(worker: Worker, run_id: str) -> Packing:
    return Packing(worker, run_id, TOKEN)


def save(worker: Worker, run_id: str, step: int) -> Checkpoint:
    """Write a checkpoint as the trainer does, and tell of it."""
    folder = run_folder(worker, run_id)
    saved = Checkpoints(folder / "checkpoints", lease_token=TOKEN, keep=None).save(step, lambda at: _write(at, step))
    return Checkpoint(step=step, path=str(saved.relative_to(folder)))


def _write(staging: Path, step: int) -> None:
    (staging / "x").write_text(f"weights of step {step}")


def until(there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def enter(worker: Worker, run_id: str, events: list[AnyEvent]) -> None:
    with unit_of_work(worker.engine) as session:
        TrainingWork().record(session, worker, held(session, Run, run_id, TOKEN), events)


def bring(packs: Packing, run_id: str, *steps: int) -> None:
    """Save checkpoints and see each through into the database and the store."""
    for step in steps:
        enter(packs.worker, run_id, packs.through([save(packs.worker, run_id, step)]))
        until(lambda: packs._under_way is None)
        enter(packs.worker, run_id, packs.through([]))


def blobs(worker: Worker) -> int:
    return sum(path.is_file() for path in (worker.storage.folder / "blobs").rglob("*"))


def uploading(worker: Worker) -> Callable[[Path], Sealed]:
    """Return a `seal` after which the file lies in the store, as with one on S3."""
    seal = worker.storage.seal

    def seal_and_upload(source: Path) -> Sealed:
        sealed = seal(source)
        place = worker.storage.folder / "blobs" / sealed.sha256[:2] / sealed.sha256
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, place)
        return sealed

    return seal_and_upload


def damage(worker: Worker, run_id: str, step: int) -> None:
    (run_folder(worker, run_id) / f"checkpoints/{step}-t{TOKEN}" / "x").write_text("rubbish")


def test_another_home_goes_on_from_the_store(worker: Worker, elsewhere: Worker, packs: Packing, run_id: str) -> None:
    bring(packs, run_id, 10, 20)
    found = newest_good_checkpoint(elsewhere, run_id, TOKEN)
    assert found is not None
    assert (found.step, found.folder.parents[2]) == (20, elsewhere.settings.runs)
    assert (found.folder / "x").read_text() == "weights of step 20"
    assert [path.name for path in found.folder.parent.iterdir()] == [f"20-t{TOKEN}"]


def test_without_a_named_store_nothing_is_packed(engine: Engine, tmp_path: Path, run_id: str) -> None:
    here = Worker(Settings(home=tmp_path), "gpu", 1, 2.0, engine, LocalStorage(tmp_path / "artifacts"), "CPU", has_gpu=False)
    event = save(here, run_id, 10)
    assert Packing(here, run_id, TOKEN).through([event]) == [event]


def test_one_that_is_broken_here_is_taken_from_the_store(worker: Worker, packs: Packing, run_id: str) -> None:
    bring(packs, run_id, 10, 20)
    damage(worker, run_id, 20)
    found = newest_good_checkpoint(worker, run_id, TOKEN)
    assert found is not None
    assert (found.step, (found.folder / "x").read_text()) == (20, "weights of step 20")


@pytest.mark.parametrize("harm", ["gone", "broken"])
def test_one_that_is_broken_in_both_places_is_marked_and_the_older_taken(
    worker: Worker, elsewhere: Worker, packs: Packing, run_id: str, harm: str
) -> None:
    bring(packs, run_id, 10, 20)
    with reading(worker.engine) as session:
        newest = session.scalars(select(CheckpointRow).where(CheckpointRow.step == 20)).one()
        assert newest.artifact is not None
        blob = worker.storage.path(newest.artifact.sha256)
    if harm == "gone":
        blob.unlink()
    else:
        blob.write_bytes(blob.read_bytes().replace(b"weights", b"rubbish"))
    found = newest_good_checkpoint(elsewhere, run_id, TOKEN)
    assert found is not None
    assert found.step == 10
    with reading(worker.engine) as session:
        states = session.execute(select(CheckpointRow.step, CheckpointRow.state))
        assert {row.step: row.state for row in states} == {10: "good", 20: "corrupt"}


class Gate(threading.Semaphore):
    """The store takes one file for each release of this."""

    def __init__(self) -> None:
        super().__init__(0)
        self.reached = threading.Event()


@pytest.fixture
def gate(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> Gate:
    made, seal = Gate(), worker.storage.seal

    def slowly(source: Path) -> Sealed:
        made.reached.set()
        made.acquire(timeout=30)
        return seal(source)

    monkeypatch.setattr(worker.storage, "seal", slowly)
    return made


def entered(worker: Worker) -> dict[int, tuple[str, bool]]:
    """Return the state of each checkpoint, and whether the store has it."""
    with reading(worker.engine) as session:
        return {row.step: (row.state, row.artifact_id is not None) for row in session.scalars(select(CheckpointRow))}


def test_nothing_waits_for_the_store_and_a_newer_checkpoint_takes_the_place_of_a_waiting_one(
    worker: Worker, packs: Packing, run_id: str, gate: Gate
) -> None:
    metric = Metric(step=30, name="train/loss", value=1.0)
    saved: list[AnyEvent] = [save(worker, run_id, step) for step in (10, 20, 30)]
    assert packs.through([saved[0]]) == [saved[0]]
    assert packs.through([saved[1], saved[2], metric]) == [saved[1], saved[2], metric]
    gate.release(2)
    assert [event.step for event in packs.rest(lambda: True) if isinstance(event, PackedCheckpoint)] == [10, 30]


def test_a_worker_killed_while_the_store_is_away_loses_nothing_of_what_lies_on_its_disk(
    worker: Worker, elsewhere: Worker, packs: Packing, run_id: str, gate: Gate
) -> None:
    gate.release()
    bring(packs, run_id, 10)
    for step in (20, 30, 40):
        enter(worker, run_id, packs.through([save(worker, run_id, step)]))
    # Killed here: nothing more is heard of what was under way.
    assert entered(worker) == {10: ("good", True), 20: ("removed", False), 30: ("good", False), 40: ("good", False)}
    assert [path.name for path in sorted((run_folder(worker, run_id) / "checkpoints").glob("*-t*"))] == ["30-t1", "40-t1"]
    found = newest_good_checkpoint(worker, run_id, TOKEN)
    assert found is not None
    assert found.step == 40
    found = newest_good_checkpoint(elsewhere, run_id, TOKEN)
    assert found is not None
    assert found.step == 10
    packs.close()
    gate.release()


def test_a_slow_store_has_one_though_newer_ones_displace_it_on_its_way(
    worker: Worker, elsewhere: Worker, packs: Packing, run_id: str, gate: Gate
) -> None:
    enter(worker, run_id, packs.through([save(worker, run_id, 10)]))
    assert gate.reached.wait(30)
    for step in (20, 30, 40):
        enter(worker, run_id, packs.through([save(worker, run_id, step)]))
    assert entered(worker)[10] == ("removed", False)
    gate.release()
    until(lambda: packs._waiting is None)  # the first got there
    enter(worker, run_id, packs.through([]))
    assert entered(worker)[10] == ("good", True)
    found = newest_good_checkpoint(elsewhere, run_id, TOKEN)
    assert found is not None
    assert found.step == 10
    gate.release()
    enter(worker, run_id, packs.rest(lambda: True))
    assert entered(worker) == {10: ("removed", False), 20: ("removed", False), 30: ("good", False), 40: ("good", True)}
    assert blobs(worker) == 1


def test_one_that_was_let_go_of_before_it_was_packed_is_left_out_without_a_word(
    worker: Worker, packs: Packing, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "AGAIN_SECONDS", 0.01)
    gone = save(worker, run_id, 10)
    (run_folder(worker, run_id) / gone.path / "x").unlink()  # as when its removal has begun: no part of one may be sent
    with pytest.raises(FileNotFoundError):
        packing.pack(run_folder(worker, run_id) / gone.path, worker.storage.incoming / "x.tar")
    (worker.storage.incoming / "x.tar").unlink()
    shutil.rmtree(run_folder(worker, run_id) / gone.path)
    packs.through([gone])
    assert packs.rest(lambda: True) == []
    assert list(worker.storage.incoming.iterdir()) == []


def test_a_thread_that_dies_keeps_nobody_waiting(worker: Worker, packs: Packing, run_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError

    with monkeypatch.context() as once:
        once.setattr(packing, "pack", broken)
        packs.through([save(worker, run_id, 10)])
        until(lambda: packs._under_way is None)
    bring(packs, run_id, 20)
    assert entered(worker) == {20: ("good", True)}


def test_a_store_that_is_away_is_told_of_once_and_tried_again(
    worker: Worker, packs: Packing, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries, seal = [0], worker.storage.seal

    def failing(source: Path) -> Sealed:
        tries[0] += 1
        if tries[0] < 4:
            raise Unavailable("The store does not answer.")
        return seal(source)

    monkeypatch.setattr(worker.storage, "seal", failing)
    monkeypatch.setattr(packing, "AGAIN_SECONDS", 0.01)
    packs.through([save(worker, run_id, 10)])
    events = packs.rest(lambda: True)
    assert [type(event) for event in events] == [Notice, PackedCheckpoint]
    assert isinstance(events[0], Notice)
    assert "The store does not answer." in events[0].message


def test_at_the_end_one_that_the_store_does_not_take_counts_as_it_lies_here(
    worker: Worker, packs: Packing, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: Path) -> Sealed:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(worker.storage, "seal", full)
    monkeypatch.setattr(packing, "PATIENCE_SECONDS", 0.0)
    enter(worker, run_id, packs.through([save(worker, run_id, 10)]))
    enter(worker, run_id, packs.rest(lambda: True))
    assert list(worker.storage.incoming.iterdir()) == []
    found = newest_good_checkpoint(worker, run_id, TOKEN)
    assert found is not None
    with reading(worker.engine) as session:
        assert session.scalars(select(CheckpointRow.artifact_id)).all() == [None]
        told = session.scalars(select(EventRow.message).where(EventRow.type == "notice")).one()
        assert "No space left on device" in told


def test_what_comes_too_late_leaves_no_file(worker: Worker, packs: Packing, run_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, done, seal = threading.Event(), threading.Event(), uploading(worker)

    def slowly(source: Path) -> Sealed:
        gate.wait(30)
        done.set()
        return seal(source)

    monkeypatch.setattr(worker.storage, "seal", slowly)
    event = save(worker, run_id, 10)
    packs.through([event])
    assert packs.rest(lambda: False) == []  # a cancel does not wait
    gate.set()
    assert done.wait(30)
    until(lambda: not list(worker.storage.incoming.iterdir()) and blobs(worker) == 0)


def test_what_got_there_and_was_never_entered_leaves_the_store(
    worker: Worker, packs: Packing, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker.storage, "seal", uploading(worker))
    packs.through([save(worker, run_id, 10)])
    until(lambda: packs._under_way is None)
    unwritten = packs.through([save(worker, run_id, 20)])
    until(lambda: packs._under_way is None)
    assert blobs(worker) == 2
    packs.close(unwritten)
    assert blobs(worker) == 0
    assert list(worker.storage.incoming.iterdir()) == []


def test_only_the_newest_two_stay_in_the_store(worker: Worker, packs: Packing, run_id: str) -> None:
    bring(packs, run_id, 10, 20, 30)
    assert blobs(worker) == 2
    with reading(worker.engine) as session:
        assert session.scalars(select(Artifact.kind).where(Artifact.kind == "checkpoint")).all() == ["checkpoint"] * 2


def test_what_they_hold_counts_here_and_in_the_store(worker: Worker, packs: Packing, run_id: str, owner: Identity) -> None:
    bring(packs, run_id, 10, 20)
    held_here = bytes_in(run_folder(worker, run_id) / "checkpoints")
    held_there = bytes_in(worker.storage.folder / "blobs")
    with reading(worker.engine) as session:
        of_run = Disk(session).of_runs([session.get_one(Run, run_id)])[run_id]
        assert of_run.checkpoints == held_here + held_there
        assert Disk(session).of_project(owner).run_bytes == of_run.total


def test_an_older_one_than_is_known_leaves_nothing(worker: Worker, packs: Packing, run_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker.storage, "seal", uploading(worker))
    bring(packs, run_id, 20)
    enter(worker, run_id, packs.through([save(worker, run_id, 10)]))
    enter(worker, run_id, packs.rest(lambda: True))
    assert blobs(worker) == 1
    assert list(worker.storage.incoming.iterdir()) == []


@pytest.mark.parametrize("act", ["cancel", "delete", "delete_checkpoints"])
def test_with_the_run_its_checkpoints_leave_the_store(worker: Worker, packs: Packing, run_id: str, owner: Identity, act: str) -> None:
    bring(packs, run_id, 10, 20)
    with unit_of_work(worker.engine) as session:
        session.get_one(Run, run_id).status = "paused" if act == "cancel" else "failed"
    with unit_of_work(worker.engine) as session:
        if act == "cancel":
            queue = SilentQueue()
            Runs(session, queue, Datasets(session, worker.storage, queue), None).act(owner, run_id, act)  # type: ignore[arg-type]
        else:
            getattr(Removal(session, worker.storage, worker.settings.runs, lambda _: False), act)(owner, run_id)
    assert blobs(worker) == 0


def test_a_unit_of_work_that_was_rolled_back_is_done_again(worker: Worker, packs: Packing, run_id: str) -> None:
    events = [*packs.through([save(worker, run_id, 10)]), *packs.rest(lambda: True)]
    with suppress(RuntimeError), unit_of_work(worker.engine) as session:
        TrainingWork().record(session, worker, held(session, Run, run_id, TOKEN), events)
        raise RuntimeError
    enter(worker, run_id, events)
    enter(worker, run_id, events)  # as when the answer to the commit was lost
    assert blobs(worker) == 1
    assert entered(worker) == {10: ("good", True)}


def test_one_that_the_store_has_lost_meanwhile_counts_as_it_lies_here(
    worker: Worker, packs: Packing, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def put(_: object) -> None:
        message = "The store has lost a file."
        raise StorageUnavailable(message)

    monkeypatch.setattr(worker.storage, "put", put)
    bring(packs, run_id, 10)
    with reading(worker.engine) as session:
        assert [(row.step, row.artifact_id) for row in session.scalars(select(CheckpointRow))] == [(10, None)]
    assert list(worker.storage.incoming.iterdir()) == []


class Dying(TrainingWork):
    """Training whose child reports a checkpoint and is gone."""

    def prepare(self, worker: Worker, work_id: str, token: int) -> Callable[[], Child]:
        folder = run_folder(worker, work_id)
        save(worker, work_id, 1)
        command = ["tests.workers.scripted_child", "dies after a checkpoint"]
        return lambda: Child(command, folder=folder, log_file=folder / "log.txt")


def test_what_a_dying_child_had_told_of_is_in_the_store_before_its_run_waits_again(
    worker: Worker, elsewhere: Worker, owner: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = add_run(worker.engine, owner, add_dataset(worker.engine, owner))
    monkeypatch.setitem(KINDS, "run", Dying())
    assert claim_and_run(worker)
    with reading(worker.engine) as session:
        run = session.get_one(Run, run_id)
        assert (run.status, run.checkpoint_step) == ("queued", 1)
    found = newest_good_checkpoint(elsewhere, run_id, TOKEN)
    assert found is not None
    assert found.step == 1
