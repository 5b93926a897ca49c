"""Deleting runs, on both databases: what goes, what protects, what stays."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select, text
from sqlalchemy.orm import Session

from app.db import (
    Artifact,
    AuditEntry,
    CheckpointRow,
    Dataset,
    DatasetVersion,
    EventRow,
    MetricChunk,
    MetricLatest,
    Run,
    metrics,
    postgresql,
)
from app.db.audit import CHECKPOINTS_DELETED
from app.db.base import utc_now
from app.db.session import reading, unit_of_work
from app.domain.errors import Conflict, NotFound
from app.domain.labels import RunChange
from app.gateways.storage import LocalStorage
from app.services.accounts import Identity
from app.services.datasets import Datasets
from app.services.disk import Disk, RunSize
from app.services.removal import Removal
from app.services.runs import Runs
from tests.databases import add_dataset, add_run
from tests.silent_queue import SilentQueue
from tests.waiting import PATIENCE_SECONDS

Remove = Callable[[Session], Removal]


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path / "store")


@pytest.fixture
def removing(storage: LocalStorage, tmp_path: Path) -> Remove:
    return lambda session: Removal(session, storage, tmp_path / "runs", lambda model: model == "ft:busy")


def holds(storage: LocalStorage, sha256: str) -> bool:
    return storage.measure(sha256) is not None


def add_blob(session: Session, storage: LocalStorage, by: Identity, content: bytes, kind: str = "adapter") -> Artifact:
    path = storage.incoming / "x"
    path.write_bytes(content)
    sealed = storage.seal(path)
    storage.put(sealed)
    artifact = Artifact(project_id=by.project_id, kind=kind, filename="x.zip", sha256=sealed.sha256, size_bytes=len(content))
    session.add(artifact)
    session.flush()
    return artifact


def add_whole_run(engine: Engine, by: Identity, storage: LocalStorage, dataset: str, folder: Path, **columns: object) -> str:
    """A run with everything a run can leave behind."""
    run_id = add_run(engine, by, dataset, status="succeeded", work_bytes=7, **columns)
    (folder / run_id / "checkpoints" / "5-t1").mkdir(parents=True)
    (folder / run_id / "log.txt").write_text("a log\n")
    with unit_of_work(engine) as session:
        run = session.get_one(Run, run_id)
        run.adapter, run.model = add_blob(session, storage, by, b"an adapter"), f"ft:{run_id}"
        session.add(EventRow(project_id=by.project_id, subject_id=run_id, type="queued", message="x"))
        session.add(CheckpointRow(run_id=run_id, project_id=by.project_id, step=5, lease_token=1, path="checkpoints/5-t1", size_bytes=100))
        metrics.append(session, run_id, 1, [metrics.Point(step, "train/loss", 1.0) for step in range(1100)])
    return run_id


def test_a_run_goes_with_all_it_holds_and_only_the_audit_stays(
    engine: Engine, owner: Identity, storage: LocalStorage, removing: Remove, tmp_path: Path
) -> None:
    dataset = add_dataset(engine, owner)
    run_id = add_whole_run(engine, owner, storage, dataset, tmp_path / "runs")
    other = add_run(engine, owner, dataset, name="clone", cloned_from=run_id)
    with reading(engine) as session:
        sha256 = session.scalars(select(Artifact.sha256).where(Artifact.kind == "adapter")).one()
    with unit_of_work(engine) as session:
        removing(session).delete(owner, run_id)
        assert (tmp_path / "runs" / run_id).is_dir()  # files go after the commit
    assert not (tmp_path / "runs" / run_id).exists()
    assert not holds(storage, sha256)
    with reading(engine) as session:
        for table in (MetricChunk, MetricLatest, CheckpointRow, EventRow):
            assert session.scalar(select(func.count()).select_from(table)) == 0, table
        assert session.get_one(Run, other).cloned_from is None
        entry = session.scalars(select(AuditEntry).where(AuditEntry.action == "run.deleted")).one()
        assert (entry.subject, entry.details["blobs"], entry.details["bytes"]) == (run_id, [sha256, "0" * 64], 117)
        assert session.get_one(Dataset, dataset).version is not None


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_a_removal_that_takes_long_is_no_statement_that_hangs(
    engine: Engine, owner: Identity, storage: LocalStorage, removing: Remove, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = add_whole_run(engine, owner, storage, add_dataset(engine, owner), tmp_path / "runs")
    monkeypatch.setattr(postgresql.ImpatientConnection, "patience", 2.0)
    monkeypatch.setattr(postgresql, "HANGS_SECONDS", 2.0)
    slowly = "CREATE RULE slowly AS ON DELETE TO metric_chunks DO ALSO SELECT pg_sleep(3)"
    with unit_of_work(engine) as session:
        session.execute(text("SET LOCAL statement_timeout = '2s'"))
        session.execute(text(slowly))
        removing(session).delete(owner, run_id)
        session.execute(text("DROP RULE slowly ON metric_chunks"))
        session.execute(text("SELECT pg_sleep(3)"))  # as the checks of foreign keys and the commit may take
        connection = session.connection().connection.dbapi_connection
        assert isinstance(connection, postgresql.ImpatientConnection)
        assert connection.patience == postgresql.REMOVAL_SECONDS + 1
    assert connection.patience == 2.0


def test_the_same_adapter_of_another_run_stays(
    engine: Engine, owner: Identity, storage: LocalStorage, removing: Remove, tmp_path: Path
) -> None:
    dataset = add_dataset(engine, owner)
    runs = [add_whole_run(engine, owner, storage, dataset, tmp_path / "runs") for _ in range(2)]
    with reading(engine) as session:
        sha256 = session.get_one(Run, runs[1]).adapter.sha256  # type: ignore[union-attr]
    for run_id, stays in zip(runs, (True, False), strict=True):
        with unit_of_work(engine) as session:
            removing(session).delete(owner, run_id)
        assert holds(storage, sha256) is stays


def test_when_the_commit_fails_nothing_is_gone(
    engine: Engine, owner: Identity, storage: LocalStorage, removing: Remove, tmp_path: Path
) -> None:
    run_id = add_whole_run(engine, owner, storage, add_dataset(engine, owner), tmp_path / "runs")

    def delete_and_fail() -> None:
        with unit_of_work(engine) as session:
            removing(session).delete(owner, run_id)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        delete_and_fail()
    with reading(engine) as session:
        run = session.get_one(Run, run_id)
        assert run.adapter is not None
        assert holds(storage, run.adapter.sha256)
    assert (tmp_path / "runs" / run_id / "log.txt").is_file()


@pytest.mark.parametrize("status", ["queued", "running", "paused", "stopping"])
def test_a_run_that_has_not_ended_is_protected_and_one_that_has_is_not(
    engine: Engine, owner: Identity, removing: Remove, status: str
) -> None:
    dataset = add_dataset(engine, owner)
    live, ended = add_run(engine, owner, dataset, name="live", status=status), add_run(engine, owner, dataset, status="failed")
    with pytest.raises(Conflict, match=rf"'live' cannot be deleted. It has not ended: it is {status}"), unit_of_work(engine) as session:
        removing(session).delete(owner, live)
    with unit_of_work(engine) as session:
        removing(session).delete(owner, ended)
    with reading(engine) as session:
        assert session.scalars(select(Run.id)).all() == [live]


def test_a_model_that_is_answering_protects_its_run(engine: Engine, owner: Identity, removing: Remove) -> None:
    dataset = add_dataset(engine, owner)
    runs = {name: add_run(engine, owner, dataset, status="succeeded", model=f"ft:{name}") for name in ("busy", "quiet")}
    with unit_of_work(engine) as session:
        found = removing(session).delete_many(owner, [*runs.values(), "no-such-run"])
    assert {c.run.id: bool(c.reasons) for c in found} == {runs["busy"]: True, runs["quiet"]: False}
    assert "giving an answer" in found[0].reasons[0]
    with reading(engine) as session:
        assert session.scalars(select(Run.id)).all() == [runs["busy"]]


def test_checkpoints_go_and_the_adapter_stays(
    engine: Engine, owner: Identity, storage: LocalStorage, removing: Remove, tmp_path: Path
) -> None:
    run_id = add_whole_run(engine, owner, storage, add_dataset(engine, owner), tmp_path / "runs", checkpoint_step=5)
    with unit_of_work(engine) as session:
        removing(session).delete_checkpoints(owner, run_id)
    assert not (tmp_path / "runs" / run_id / "checkpoints").exists()
    assert (tmp_path / "runs" / run_id / "log.txt").is_file()
    with reading(engine) as session:
        run = session.get_one(Run, run_id)
        assert (run.checkpoint_step, run.adapter is not None) == (0, True)
        assert Disk(session).of_runs([run])[run_id] == RunSize(adapter=10, checkpoints=0, other=7)


def test_checkpoints_of_a_live_run_stay(engine: Engine, owner: Identity, removing: Remove) -> None:
    run_id = add_run(engine, owner, add_dataset(engine, owner), status="paused")
    with pytest.raises(Conflict, match="what it goes on from"), unit_of_work(engine) as session:
        removing(session).delete_checkpoints(owner, run_id)


@pytest.mark.parametrize(("before", "left"), [("paused", 0), ("queued", 0), ("running", 1)])
def test_of_a_run_that_is_cancelled_while_nobody_holds_it_only_the_record_stays(
    engine: Engine, owner: Identity, storage: LocalStorage, before: str, left: int
) -> None:
    run_id = add_run(engine, owner, add_dataset(engine, owner), status=before, checkpoint_step=5)
    with unit_of_work(engine) as session:
        packed = Artifact(project_id=owner.project_id, kind="checkpoint", filename="5.tar", sha256="c" * 64, size_bytes=4)
        row = CheckpointRow(run_id=run_id, project_id=owner.project_id, step=5, lease_token=1, path="checkpoints/5-t1", size_bytes=9)
        row.artifact = packed
        session.add(row)
    with unit_of_work(engine) as session:
        queue = SilentQueue()
        Runs(session, queue, Datasets(session, storage, queue), None).act(owner, run_id, "cancel")  # type: ignore[arg-type]
    with reading(engine) as session:
        assert Disk(session).of_runs([session.get_one(Run, run_id)])[run_id].checkpoints == 13 * left
        told = session.scalars(select(AuditEntry).where(AuditEntry.action == CHECKPOINTS_DELETED)).all()
    assert [(entry.subject, entry.details["bytes"]) for entry in told] == [(run_id, 13)] * (1 - left)


def test_rows_of_a_deleted_dataset_go_with_the_last_run_that_named_them(
    engine: Engine, owner: Identity, storage: LocalStorage, removing: Remove
) -> None:
    dataset = add_dataset(engine, owner)
    runs = [add_run(engine, owner, dataset, status="succeeded") for _ in range(2)]
    with unit_of_work(engine) as session:
        session.get_one(Dataset, dataset).deleted_at = utc_now()
    for run_id, left in zip(runs, (1, 0), strict=True):
        with unit_of_work(engine) as session:
            removing(session).delete(owner, run_id)
        with reading(engine) as session:
            assert session.scalar(select(func.count()).select_from(DatasetVersion)) == left


def test_another_projects_run_is_not_there(engine: Engine, owner: Identity, removing: Remove) -> None:
    run_id = add_run(engine, owner, add_dataset(engine, owner), status="failed")
    stranger = Identity(owner.user_id, "x", "another-project", "x")
    with pytest.raises(NotFound), unit_of_work(engine) as session:
        removing(session).delete(stranger, run_id)
    with unit_of_work(engine) as session:
        assert removing(session).delete_many(stranger, [run_id]) == []


def test_a_project_knows_what_it_holds_and_equal_files_count_once(
    engine: Engine, owner: Identity, storage: LocalStorage, tmp_path: Path
) -> None:
    dataset = add_dataset(engine, owner)  # its rows hold one byte
    for _ in range(2):
        add_whole_run(engine, owner, storage, dataset, tmp_path / "runs")
    with reading(engine) as session:
        use = Disk(session).of_project(owner)
    assert (use.runs, use.run_bytes, use.datasets, use.dataset_bytes) == (2, 2 * 107 + 10, 1, 1)
    assert use.total == 225


def test_rows_go_with_their_dataset_when_the_runs_that_named_them_went_before(
    engine: Engine, owner: Identity, storage: LocalStorage, removing: Remove, tmp_path: Path
) -> None:
    dataset = add_dataset(engine, owner)
    run_id = add_run(engine, owner, dataset, status="succeeded")
    with unit_of_work(engine) as session:
        removing(session).delete(owner, run_id)
    with unit_of_work(engine) as session:
        Datasets(session, storage, SilentQueue()).delete(owner, dataset)
    with reading(engine) as session:
        assert session.scalar(select(func.count()).select_from(DatasetVersion)) == 0
        assert session.scalar(select(func.count()).select_from(Artifact)) == 0


def test_rows_go_when_their_dataset_and_their_last_run_are_deleted_at_once(
    engine: Engine, owner: Identity, storage: LocalStorage, removing: Remove
) -> None:
    dataset = add_dataset(engine, owner)
    run_id = add_run(engine, owner, dataset, status="succeeded")

    def delete_run() -> None:
        with unit_of_work(engine) as session:
            removing(session).delete(owner, run_id)

    other = threading.Thread(target=delete_run)
    with unit_of_work(engine) as session:
        Datasets(session, storage, SilentQueue()).delete(owner, dataset)
        other.start()
        other.join(0.5)  # whoever does not wait for the other is through by now
    other.join(PATIENCE_SECONDS)
    assert not other.is_alive()
    with reading(engine) as session:
        assert session.scalar(select(func.count()).select_from(DatasetVersion)) == 0


def test_a_run_that_is_renamed_while_it_is_deleted_is_not_there(engine: Engine, owner: Identity, removing: Remove) -> None:
    run_id = add_run(engine, owner, add_dataset(engine, owner), status="succeeded")

    def rename() -> None:
        with unit_of_work(engine) as session:
            Runs(session, None, None, None).change(owner, run_id, RunChange(name="new"))  # type: ignore[arg-type]

    with ThreadPoolExecutor(1) as pool:
        with unit_of_work(engine) as session:
            removing(session).delete(owner, run_id)
            session.flush()
            renamed = pool.submit(rename)
            wait([renamed], timeout=0.5)
        with pytest.raises(NotFound):
            renamed.result(PATIENCE_SECONDS)
    with reading(engine) as session:
        assert session.scalar(select(func.count()).select_from(EventRow)) == 0


def test_rows_that_were_undone_since_one_looked_are_not_taken_for_those_there_are(
    engine: Engine, owner: Identity, storage: LocalStorage
) -> None:
    dataset_id = add_dataset(engine, owner)
    with unit_of_work(engine) as session:
        dataset = session.get_one(Dataset, dataset_id)
        assert dataset.version is not None
        first = dataset.version
        changed = DatasetVersion(
            project_id=owner.project_id, dataset_id=dataset_id, number=2, rows_id=first.rows_id, rows=5, train_rows=4, test_rows=1,
            parent_id=first.id,
        )  # fmt: skip
        session.add(changed)
        session.flush()
        dataset.version_id = changed.id

    def undo() -> None:
        with unit_of_work(engine) as session:
            session.get_one(Dataset, dataset_id).version_id = first.id
            session.delete(session.get_one(DatasetVersion, changed.id))

    with ThreadPoolExecutor(1) as pool:
        with unit_of_work(engine) as session:
            datasets = Datasets(session, storage, SilentQueue())
            seen = datasets.get(owner, dataset_id)
            assert seen.version_id == getattr(seen.version, "id", None) == changed.id
            undone = pool.submit(undo)
            wait([undone], timeout=0.5)  # SQLite has it wait until this has ended
            assert datasets.get(owner, dataset_id, to_change=True) is seen
            there = session.scalars(select(DatasetVersion.id).order_by(DatasetVersion.number)).all()
            assert getattr(seen.version, "id", None) == there[-1]
        undone.result(PATIENCE_SECONDS)
