"""Checkpoints in the store: another home takes a run over from them; a store that is away costs words and no run."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from app.config import Settings
from app.db import CheckpointRow, EventRow, Run
from app.db.artifacts import Artifact
from app.db.leases import held
from app.db.session import reading, unit_of_work
from app.domain.errors import StorageUnavailable, Unavailable
from app.domain.events import Notice
from app.domain.ports import Sealed
from app.gateways.storage import LocalStorage
from app.services.accounts import Identity
from app.services.datasets import Datasets
from app.services.disk import Disk
from app.services.removal import Removal
from app.services.runs import Runs
from tests.databases import add_dataset, add_run
from tests.silent_queue import SilentQueue
from tests.waiting import until
from tests.workers.packing_scenes import TOKEN, blobs, bring, elsewhere, enter, entered, packs, run_id, save, uploading, worker
from workers import packing
from workers.child import Child
from workers.claim import claim_and_run
from workers.kinds import KINDS
from workers.packing import PackedCheckpoint, Packing
from workers.run_checkpoints import bytes_in, newest_good_checkpoint, run_folder
from workers.training_work import TrainingWork
from workers.worker import Worker

__all__ = ["elsewhere", "packs", "run_id", "worker"]


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


def test_a_disk_that_is_full_when_one_is_fetched_is_no_reason_to_begin_anew(
    worker: Worker, elsewhere: Worker, packs: Packing, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    bring(packs, run_id, 10)
    monkeypatch.setattr(packing, "unpack", full)
    with pytest.raises(OSError, match="No space left"):
        newest_good_checkpoint(elsewhere, run_id, TOKEN)
    assert entered(worker) == {10: ("good", True)}


def test_one_that_is_fetched_too_late_leaves_alone_what_is_in_use(worker: Worker, packs: Packing, run_id: str, tmp_path: Path) -> None:
    save(worker, run_id, 10)
    folder = run_folder(worker, run_id) / f"checkpoints/10-t{TOKEN}"
    packing.pack(folder, tmp_path / "10.tar")
    in_use = folder.stat().st_ino
    packing.unpack(tmp_path / "10.tar", folder)
    assert (folder.stat().st_ino, sorted(path.name for path in folder.parent.iterdir())) == (in_use, [".staging", folder.name])


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
    reached, gate, done, seal = threading.Event(), threading.Event(), threading.Event(), uploading(worker)

    def slowly(source: Path) -> Sealed:
        reached.set()
        gate.wait(60)
        done.set()
        return seal(source)

    monkeypatch.setattr(worker.storage, "seal", slowly)
    event = save(worker, run_id, 10)
    packs.through([event])
    assert reached.wait(60)  # else it could be called off before it was begun, and never come
    assert packs.rest(lambda: False) == []  # a cancel does not wait
    gate.set()
    assert done.wait(60)
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
