"""Checkpoints as rows: the newest whole one counts, broken ones are passed over, old ones go."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select, update

import workers.training_work
from app.config import Settings
from app.db import CheckpointRow, Run
from app.db.base import database_clock
from app.db.leases import claim
from app.db.session import reading, unit_of_work
from app.domain.errors import NotFound
from app.domain.events import Checkpoint, Finished, Notice
from app.domain.results import ADAPTER_FILES
from app.gateways.storage import LocalStorage
from app.services.accounts import Identity
from tests.databases import add_dataset, add_run
from workers.kinds import KINDS, fail
from workers.run_checkpoints import bytes_in, count_uncounted, drop_checkpoints, enter_checkpoint, newest_good_checkpoint, run_folder
from workers.sweep import sweep
from workers.training.checkpoints import Checkpoints
from workers.training_work import TrainingWork, pack_result
from workers.worker import Worker


@pytest.fixture
def worker(engine: Engine, tmp_path: Path) -> Worker:
    return Worker(Settings(home=tmp_path), "gpu", 1, 2.0, engine, LocalStorage(tmp_path / "artifacts"), "CPU", has_gpu=False)


@pytest.fixture
def run_id(worker: Worker, owner: Identity) -> str:
    """A run that is held, with checkpoints at steps 10, 20 and 30."""
    made = add_run(worker.engine, owner, add_dataset(worker.engine, owner), spec={"settings": {"tuning": "lora"}})
    with unit_of_work(worker.engine) as session:
        claim(session, Run, "gone", "gpu", has_gpu=False)
    for step in (10, 20, 30):
        save(worker, made, step)
    return made


def save(worker: Worker, run_id: str, step: int, token: int = 1) -> None:
    folder = run_folder(worker, run_id)

    def write(staging: Path) -> None:
        (staging / "x").write_text("weights")
        for name in ADAPTER_FILES:
            (staging / name).write_text(json.dumps({"base_model_name_or_path": "hone-starter", "revision": None}))

    saved = Checkpoints(folder / "checkpoints", lease_token=token, keep=None).save(step, write)
    with unit_of_work(worker.engine) as session:
        event = Checkpoint(step=step, path=str(saved.relative_to(folder)))
        assert enter_checkpoint(session, worker, session.get_one(Run, run_id), event)


def damage(worker: Worker, run_id: str, step: int) -> None:
    (run_folder(worker, run_id) / f"checkpoints/{step}-t1" / "x").write_text("rubbish")


def test_only_the_newest_is_kept_where_the_disk_has_no_room_for_another(
    worker: Worker, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.run_checkpoints.fits", lambda _folder, size: size == 0)
    save(worker, run_id, 40)
    assert kept(worker, run_id) == ["40-t1"]


def test_what_an_attempt_entered_stays_before_what_it_could_not_use(worker: Worker, run_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with unit_of_work(worker.engine) as session:
        run = session.get_one(Run, run_id)
        run.lease_token, run.checkpoint_step = 2, 0  # on another machine, which has none of those
    monkeypatch.setattr("workers.run_checkpoints.fits", lambda *_: False)
    save(worker, run_id, 5, token=2)
    assert kept(worker, run_id) == ["5-t2"]


def test_room_is_made_at_the_price_of_what_was_passed_over(worker: Worker, run_id: str) -> None:
    shutil.rmtree(run_folder(worker, run_id) / "checkpoints/30-t1")  # as if it lay on another machine
    newest_good_checkpoint(worker, run_id, 1)
    with unit_of_work(worker.engine) as session:
        drop_checkpoints(session, worker, session.get_one(Run, run_id), keep=1)
    assert kept(worker, run_id) == ["20-t1"]


@pytest.mark.parametrize("keep", [0, 2])
def test_broken_ones_go_when_others_are_let_go_of(worker: Worker, run_id: str, keep: int) -> None:
    damage(worker, run_id, 30)
    newest_good_checkpoint(worker, run_id, 1)
    with unit_of_work(worker.engine) as session:
        drop_checkpoints(session, worker, session.get_one(Run, run_id), keep=keep)
    assert kept(worker, run_id) == ["20-t1"][:keep]
    with reading(worker.engine) as session:
        assert session.scalars(select(CheckpointRow.step).where(CheckpointRow.state != "removed")).all() == [20][:keep]


def test_a_trainer_that_finds_no_room_gets_that_of_the_older_checkpoint(worker: Worker, run_id: str) -> None:
    with unit_of_work(worker.engine) as session:
        full = Notice(message="The disk is full.", data={"code": "disk_full"})
        TrainingWork().record(session, worker, session.get_one(Run, run_id), [full])
    assert kept(worker, run_id) == ["30-t1"]


def test_the_figures_of_a_failure_are_kept_with_the_run(worker: Worker, run_id: str) -> None:
    with unit_of_work(worker.engine) as session:
        fail(session, worker, KINDS["run"], session.get_one(Run, run_id), reason="It diverged.", code="diverged", data={"rows": [3]})
    with reading(worker.engine) as session:
        assert session.get_one(Run, run_id).facts["failure"] == {"rows": [3]}


def kept(worker: Worker, run_id: str) -> list[str]:
    folders = (run_folder(worker, run_id) / "checkpoints").iterdir()
    return sorted(folder.name for folder in folders if folder.name != ".staging")


def test_two_are_kept_and_the_newest_is_taken(worker: Worker, run_id: str) -> None:
    found = newest_good_checkpoint(worker, run_id, 1)
    assert found is not None
    assert found.step == 30
    assert {path.name for path in (run_folder(worker, run_id) / "checkpoints").iterdir() if path.name[0] != "."} == {"20-t1", "30-t1"}


def test_a_checkpoint_that_is_told_of_again_is_entered_once(worker: Worker, run_id: str) -> None:
    again = Checkpoint(step=30, path="checkpoints/30-t1")
    with unit_of_work(worker.engine) as session:
        assert not enter_checkpoint(session, worker, session.get_one(Run, run_id), again)
    with reading(worker.engine) as session:
        assert session.scalars(select(CheckpointRow.step).order_by(CheckpointRow.step)).all() == [10, 20, 30]


@pytest.mark.parametrize("path", ["checkpoints/40-t2", "checkpoints/41-t1", "../../elsewhere", "/etc"])
def test_a_child_names_no_folder_but_a_checkpoints(worker: Worker, run_id: str, path: str) -> None:
    with unit_of_work(worker.engine) as session:
        assert not enter_checkpoint(session, worker, session.get_one(Run, run_id), Checkpoint(step=40, path=path))


def test_a_broken_one_is_passed_over_and_later_ones_count_from_the_older(worker: Worker, run_id: str) -> None:
    damage(worker, run_id, 30)
    found = newest_good_checkpoint(worker, run_id, 1)
    assert found is not None
    assert found.step == 20
    with reading(worker.engine) as session:
        assert session.get_one(Run, run_id).checkpoint_step == 20
    save(worker, run_id, 25)
    found = newest_good_checkpoint(worker, run_id, 1)
    assert found is not None
    assert found.step == 25


def test_one_of_another_machine_is_passed_over_and_counts_again_there(worker: Worker, run_id: str, tmp_path: Path) -> None:
    folder, elsewhere = run_folder(worker, run_id) / "checkpoints", tmp_path / "elsewhere"
    (folder / "30-t1").rename(elsewhere)
    found = newest_good_checkpoint(worker, run_id, 1)
    assert found is not None
    assert found.step == 20
    save(worker, run_id, 25)
    elsewhere.rename(folder / "30-t1")
    found = newest_good_checkpoint(worker, run_id, 1)
    assert found is not None
    assert found.step == 30


def test_one_that_cannot_be_read_just_now_is_passed_over_and_counts_again_later(
    worker: Worker, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path) -> bytes:
        raise OSError(errno.EIO, "Input/output error", str(path))

    with monkeypatch.context() as broken:
        broken.setattr(Path, "read_bytes", fail)
        assert newest_good_checkpoint(worker, run_id, 1) is None
    found = newest_good_checkpoint(worker, run_id, 1)
    assert found is not None
    assert found.step == 30


def test_a_stopping_run_whose_worker_and_checkpoint_are_lost_still_ends(worker: Worker, run_id: str) -> None:
    damage(worker, run_id, 30)
    damage(worker, run_id, 20)
    with unit_of_work(worker.engine) as session:
        session.execute(update(Run).values(status="stopping", lease_expires_at=database_clock() - 1))
    assert sweep(worker) == 1
    with reading(worker.engine) as session:
        run = session.get_one(Run, run_id)
        assert (run.status, run.model) == ("stopped", None)
        assert set(session.scalars(select(CheckpointRow.state))) == {"removed", "corrupt"}


def test_two_sweeps_that_pack_the_same_adapter_at_once_keep_it_whole(worker: Worker, run_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    swept: list[int] = []

    def pack(*what: Any) -> None:
        pack_result(*what)
        monkeypatch.setattr(workers.training_work, "pack_result", pack_result)
        if not swept:
            swept.append(sweep(worker))

    monkeypatch.setattr(workers.training_work, "pack_result", pack)
    with unit_of_work(worker.engine) as session:
        session.execute(update(Run).values(status="stopping", lease_expires_at=database_clock() - 1))
    assert (sweep(worker), swept) == (0, [1])
    with reading(worker.engine) as session:
        run = session.get_one(Run, run_id)
        assert (run.status, run.step) == ("stopped", 30)
        assert run.adapter is not None
        assert hashlib.sha256(worker.storage.path(run.adapter.sha256).read_bytes()).hexdigest() == run.adapter.sha256
    assert list(worker.storage.incoming.iterdir()) == []


def test_only_what_was_cut_off_gets_the_adapter_of_its_checkpoint(worker: Worker, run_id: str) -> None:
    for finished in (None, Finished(status="interrupted")):
        packed = TrainingWork().package(worker, run_id, 1, finished)
        assert packed is not None
        assert packed.step == 30
    with pytest.raises(NotFound, match="what it made was not in") as told:
        TrainingWork().package(worker, run_id, 1, Finished(status="succeeded"))
    assert told.value.code == "storage"


def test_what_a_run_holds_is_counted_as_it_grows_and_later_where_it_was_not(worker: Worker, run_id: str) -> None:
    def held() -> tuple[int, list[int]]:
        with reading(worker.engine) as session:
            kept = select(CheckpointRow.size_bytes).where(CheckpointRow.state == "good").order_by(CheckpointRow.step)
            return session.get_one(Run, run_id).work_bytes, list(session.scalars(kept))

    folder = run_folder(worker, run_id)
    (folder / "log.txt").write_text("twelve bytes")
    (folder / "adapter-t1").mkdir()
    (folder / "adapter-t1" / "weights").write_text("these move into the store")
    save(worker, run_id, 40)
    sizes = [bytes_in(folder / f"checkpoints/{step}-t1") for step in (30, 40)]
    assert held() == (12, sizes)
    assert min(sizes) > len("weights")
    with unit_of_work(worker.engine) as session:
        session.execute(update(CheckpointRow).values(size_bytes=0))
        session.execute(update(Run).values(work_bytes=0, status="failed"))
    count_uncounted(worker)
    assert held() == (12, sizes)


def test_what_lies_on_another_machine_was_counted_there(worker: Worker, run_id: str) -> None:
    with unit_of_work(worker.engine) as session:
        session.execute(update(Run).values(status="running", work_bytes=12, lease_expires_at=database_clock() - 1))
    shutil.rmtree(run_folder(worker, run_id))
    assert sweep(worker) == 1
    with reading(worker.engine) as session:
        run = session.get_one(Run, run_id)
        assert (run.status, run.work_bytes) == ("queued", 12)
