"""What deleting left behind: only what the audit says was deleted is removed."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from app.config import Settings
from app.db import Artifact, AuditEntry, CheckpointRow, Dataset, Download, Import, Run
from app.db.artifacts import drop, keep
from app.db.audit import CHECKPOINTS_DELETED, FILE_LEFT, RUN_DELETED, note
from app.db.session import reading, unit_of_work
from app.domain.errors import StorageUnavailable
from app.gateways.fetched_bases import FetchedBases
from app.gateways.storage import LocalStorage
from app.services.accounts import Identity
from app.services.datasets import Datasets
from tests.databases import add_dataset, add_import, add_run
from tests.silent_queue import SilentQueue
from workers import sweep
from workers.download_work import download_folders
from workers.import_work import work_folders
from workers.leftovers import clear_deleted, clear_leftovers
from workers.worker import Worker


@pytest.fixture
def worker(engine: Engine, tmp_path: Path) -> Worker:
    settings = Settings(home=tmp_path)
    return Worker(settings, "cpu", 1, 1.0, engine, LocalStorage(settings.store), "CPU", has_gpu=False)


def holds(worker: Worker, sha256: str) -> bool:
    return worker.storage.measure(sha256) is not None


def make_folder(worker: Worker, name: str) -> Path:
    folder = worker.settings.runs / name
    (folder / "checkpoints" / "5-t1").mkdir(parents=True)
    (folder / "log.txt").write_text("a log\n")
    return folder


def delete_row(engine: Engine, by: Identity, run_id: str, *blobs: str) -> None:
    """Delete a run as a process does that dies right after its commit."""
    with unit_of_work(engine) as session:
        session.delete(session.get_one(Run, run_id))
        note(session, by.project_id, by.user_id, RUN_DELETED, run_id, blobs=list(blobs))


def test_old_uploads_go_though_others_vanish_meanwhile(worker: Worker) -> None:
    incoming = worker.storage.incoming
    old, fresh, vanished = (incoming / name for name in ("old", "fresh", "a-vanished"))
    for path in (old, fresh):
        path.touch()
    os.utime(old, (0, 0))
    vanished.symlink_to(incoming / "nowhere")  # listed, and not there when it is looked at
    clear_leftovers(worker)
    assert (old.exists(), fresh.exists()) == (False, True)


def test_parts_of_models_that_nobody_wants_go_and_those_that_may_be_gone_on_with_stay(
    engine: Engine, owner: Identity, worker: Worker
) -> None:
    bases, commit = FetchedBases(worker.settings.fetched_bases), "a" * 40
    wanted = {"a/failed": "failed", "a/running": "running", "a/cancelled": "cancelled"}
    with unit_of_work(engine) as session:
        for repo, status in wanted.items():
            session.add(Download(project_id=owner.project_id, queue="cpu", repo=repo, revision=commit, status=status))
    for repo in (*wanted, "a/forgotten", "a/fresh", "a/held"):
        parts = bases.parts(repo, commit)
        parts.mkdir(parents=True)
        (parts / "x.part").touch()
        parts.with_name(f"{parts.name}.lock").touch()
        for path in (parts / "x.part", parts, parts.with_name(f"{parts.name}.lock")):
            os.utime(path, None if repo == "a/fresh" else (0, 0))
    (bases.folder / ".parts" / "gone-1").mkdir()
    with bases.parts("a/held", commit).with_name(f"a--held@{commit}.lock").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        clear_deleted(worker)
    left = {path.name.removesuffix(".lock") for path in (bases.folder / ".parts").iterdir()}
    assert left == {f"a--{name}@{commit}" for name in ("failed", "running", "fresh", "held")}


def test_the_folder_of_a_deleted_run_goes_and_every_other_stays(engine: Engine, owner: Identity, worker: Worker) -> None:
    dataset = add_dataset(engine, owner)
    runs = [add_run(engine, owner, dataset, status="succeeded") for _ in range(2)]
    gone, kept, unknown = (make_folder(worker, name) for name in (*runs, "of-another-database"))
    delete_row(engine, owner, runs[0])
    clear_leftovers(worker)
    assert not gone.exists()
    assert (kept / "checkpoints" / "5-t1").is_dir()
    assert (unknown / "log.txt").is_file()


def test_deleted_checkpoints_go_once_and_newer_ones_stay(engine: Engine, owner: Identity, worker: Worker) -> None:
    dataset = add_dataset(engine, owner)
    runs = {name: add_run(engine, owner, dataset, status=status) for name, status in (("emptied", "stopped"), ("resumed", "queued"))}
    runs["again"] = add_run(engine, owner, dataset, status="stopped")
    folders = {name: make_folder(worker, run_id) for name, run_id in runs.items()}
    with unit_of_work(engine) as session:
        for run_id in runs.values():
            note(session, owner.project_id, owner.user_id, CHECKPOINTS_DELETED, run_id)
        session.add(CheckpointRow(run_id=runs["again"], project_id=owner.project_id, step=5, lease_token=1, path="checkpoints/5-t1"))
    clear_leftovers(worker)
    assert {name: (folder / "checkpoints").is_dir() for name, folder in folders.items()} == {
        "emptied": False,
        "resumed": True,
        "again": True,
    }
    assert (folders["emptied"] / "log.txt").is_file()


def test_the_adapter_of_a_deleted_run_goes_unless_another_row_names_it(engine: Engine, owner: Identity, worker: Worker) -> None:
    made = []
    for content in (b"alone", b"shared"):
        path = worker.storage.incoming / "x"
        path.write_bytes(content)
        sealed = worker.storage.seal(path)
        worker.storage.put(sealed)
        made.append(sealed.sha256)
    dataset = add_dataset(engine, owner)
    run_id = add_run(engine, owner, dataset)
    with unit_of_work(engine) as session:
        session.get_one(Run, run_id).version.artifact.sha256 = made[1]
    for sha256 in made:
        delete_row(engine, owner, add_run(engine, owner, dataset, status="succeeded"), sha256)
    clear_leftovers(worker)
    assert [holds(worker, sha256) for sha256 in made] == [False, True]


def test_upload_and_rows_of_a_deleted_dataset_go(
    engine: Engine, owner: Identity, worker: Worker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "rows.parquet"
    path.write_bytes(b"rows")
    sealed = worker.storage.seal(path)
    worker.storage.put(sealed)
    dataset = add_dataset(engine, owner)
    with unit_of_work(engine) as session:
        session.get_one(Dataset, dataset).version.artifact.sha256 = sealed.sha256  # type: ignore[union-attr]

    def dies(_: object) -> None:
        raise KeyboardInterrupt  # as a process that ends right after its commit

    def delete() -> None:
        with unit_of_work(engine) as session:
            Datasets(session, worker.storage, SilentQueue()).delete(owner, dataset)

    with monkeypatch.context() as dying:
        dying.setattr(worker.storage, "remove", dies)
        with pytest.raises(KeyboardInterrupt):
            delete()
    assert holds(worker, sealed.sha256)
    clear_leftovers(worker)
    assert not holds(worker, sealed.sha256)


@pytest.mark.parametrize(
    "trouble", [StorageUnavailable("The store does not answer."), PermissionError(13, "Permission denied"), KeyboardInterrupt()]
)
def test_what_was_dropped_and_could_not_be_removed_goes_later(
    engine: Engine, owner: Identity, worker: Worker, monkeypatch: pytest.MonkeyPatch, trouble: BaseException
) -> None:
    """The last stands for a process that dies right after its commit."""

    def remove(_: object) -> None:
        raise trouble

    path = worker.storage.incoming / "x"
    path.write_bytes(b"packed")
    sealed = worker.storage.seal(path)
    run_id = add_run(engine, owner, add_dataset(engine, owner))
    with unit_of_work(engine) as session:
        kept = keep(session, worker.storage, sealed, kind="checkpoint", filename="x", owner=session.get_one(Run, run_id))
    with monkeypatch.context() as away, suppress(KeyboardInterrupt), unit_of_work(engine) as session:
        away.setattr(worker.storage, "remove", remove)
        drop(session, session.get_one(Artifact, kept.id), worker.storage)
    assert holds(worker, sealed.sha256)
    clear_leftovers(worker)
    assert not holds(worker, sealed.sha256)
    assert left(engine) == []


def test_what_was_removed_at_once_need_not_be_remembered(engine: Engine, owner: Identity, worker: Worker) -> None:
    run_id = add_run(engine, owner, add_dataset(engine, owner))
    path = worker.storage.incoming / "x"
    path.write_bytes(b"packed")
    with unit_of_work(engine) as session:
        kept = keep(session, worker.storage, worker.storage.seal(path), kind="checkpoint", filename="x", owner=session.get_one(Run, run_id))
    with unit_of_work(engine) as session:
        drop(session, session.get_one(Artifact, kept.id), worker.storage)
        session.flush()
        assert len(session.scalars(select(AuditEntry).where(AuditEntry.action == FILE_LEFT)).all()) == 1
    assert left(engine) == []


def left(engine: Engine) -> list[AuditEntry]:
    with reading(engine) as session:
        return list(session.scalars(select(AuditEntry).where(AuditEntry.action == FILE_LEFT)))


def test_a_sweep_looks_for_them_now_and_then(engine: Engine, owner: Identity, worker: Worker) -> None:
    run_id = add_run(engine, owner, add_dataset(engine, owner), status="succeeded")
    folder = make_folder(worker, run_id)
    delete_row(engine, owner, run_id)
    sweep.sweep(worker)
    assert folder.exists()
    worker.cleared -= sweep.CLEAR_SECONDS + 1
    sweep.sweep(worker)
    assert not folder.exists()


@pytest.mark.parametrize(("status", "token", "age", "entered", "stays"), [
    ("queued", 1, 1000, False, False),
    ("running", 1, 1000, False, False),  # of an earlier attempt
    ("running", 2, 1000, False, True),  # it may be on its way into the store
    ("queued", 3, 1000, False, True),  # of an attempt that this database does not know: it may be a copy of before
    ("queued", 1, 500, False, True),
    ("queued", 1, 1000, True, True),
])  # fmt: skip
def test_what_nobody_entered_goes_once_its_attempt_is_over(
    engine: Engine, owner: Identity, worker: Worker, status: str, token: int, age: int, *, entered: bool, stays: bool
) -> None:
    run_id = add_run(engine, owner, add_dataset(engine, owner), status=status, lease_token=2)
    folder = worker.settings.runs / run_id
    paths = [folder / f"checkpoints/5-t{token}"]
    if not entered:
        paths += [folder / f"checkpoints/.staging/6-t{token}", folder / f"adapter-t{token}", folder / f".adapter-t{token}.staging"]
        paths += [
            worker.storage.incoming / f"{name}" for name in (f"checkpoint-{run_id}-t{token}-5.tar", f"adapter-{run_id}-t{token}-x.zip")
        ]
    for path in paths:
        path.mkdir(parents=True) if path.is_relative_to(folder) else path.touch()
        os.utime(path, (time.time() - age,) * 2)
    if entered:
        with unit_of_work(engine) as session:
            row = CheckpointRow(run_id=run_id, project_id=owner.project_id, step=5, lease_token=token, path=f"checkpoints/5-t{token}")
            session.add(row)
    clear_deleted(worker)
    assert {path.exists() for path in paths} == {stays}


@pytest.mark.parametrize(("age", "stays"), [(3600, True), (90_000, False)])
def test_a_fetch_that_was_cut_off_goes_a_day_later(engine: Engine, owner: Identity, worker: Worker, age: int, *, stays: bool) -> None:
    run_id = add_run(engine, owner, add_dataset(engine, owner), status="running", lease_token=2)
    path = worker.settings.runs / run_id / "checkpoints/.fetched-x"
    path.mkdir(parents=True)
    os.utime(path, (time.time() - age,) * 2)
    clear_deleted(worker)
    assert path.exists() is stays


@pytest.mark.parametrize(
    ("status", "days", "is_known", "stays"),
    [("failed", 31, True, False), ("failed", 29, True, True), ("running", 31, True, True), ("failed", 31, False, True)],
)
def test_the_log_of_work_that_failed_goes_a_month_later(
    engine: Engine, owner: Identity, worker: Worker, status: str, days: int, *, is_known: bool, stays: bool
) -> None:
    work_id = add_import(engine, owner, add_dataset(engine, owner))
    with unit_of_work(engine) as session:
        session.get_one(Import, work_id).status = status
    folder = work_folders(worker) / (work_id if is_known else "of-another-database")
    folder.mkdir(parents=True)
    (folder / "log.txt").write_text("why\n")
    os.utime(folder, (time.time() - days * 86_400,) * 2)
    clear_deleted(worker)
    assert (folder / "log.txt").exists() is stays


def test_the_log_of_a_download_that_failed_goes_too(engine: Engine, owner: Identity, worker: Worker) -> None:
    with unit_of_work(engine) as session:
        row = Download(project_id=owner.project_id, queue="cpu", repo="acme/small", status="failed")
        session.add(row)
        session.flush()
        folder = download_folders(worker) / row.id
    folder.mkdir(parents=True)
    os.utime(folder, (time.time() - 31 * 86_400,) * 2)
    clear_deleted(worker)
    assert not folder.exists()
