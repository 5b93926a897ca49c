"""What a look through every file finds: what is missing, what is damaged, what nobody knows; and what only seems so."""

from __future__ import annotations

import errno
import os
import shutil
import time
from pathlib import Path

import pytest
from sqlalchemy import Engine

from app.db import Artifact, CheckpointRow, Run
from app.db.artifacts import drop, keep
from app.db.session import unit_of_work
from app.gateways.storage import LocalStorage
from app.services import integrity
from app.services.accounts import Identity
from app.services.integrity import Findings, look_through
from tests.databases import add_dataset, add_run
from workers.training.checkpoints import Checkpoints


@pytest.fixture
def store(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path / "store")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def run_id(engine: Engine, owner: Identity, store: LocalStorage, runs: Path) -> str:
    """A run with an adapter in the store and a checkpoint beside it; every row has its file."""
    made = add_run(engine, owner, add_dataset(engine, owner), status="succeeded")
    Checkpoints(runs / made / "checkpoints", lease_token=1, keep=None).save(5, _write)
    with unit_of_work(engine) as session:
        run = session.get_one(Run, made)
        session.add(CheckpointRow(run_id=made, project_id=run.project_id, step=5, lease_token=1, path="checkpoints/5-t1"))
        run.adapter = keep(session, store, store.seal(_file(store, b"weights")), kind="adapter", filename="a.zip", owner=run)
        rows = store.seal(_file(store, b"rows"))
        store.put(rows)
        run.version.artifact.sha256, run.version.artifact.size_bytes = rows.sha256, rows.size_bytes
    return made


def _write(folder: Path) -> None:
    (folder / "x").write_text("weights")


def _file(store: LocalStorage, content: bytes) -> Path:
    path = store.incoming / "x"
    path.write_bytes(content)
    return path


def adapter(engine: Engine, store: LocalStorage, run_id: str) -> Path:
    with unit_of_work(engine) as session:
        found = session.get_one(Run, run_id).adapter
        assert found is not None
        return store.path(found.sha256)


def test_a_whole_studio(engine: Engine, store: LocalStorage, runs: Path, run_id: str) -> None:
    assert look_through(engine, store, runs) == Findings(files=2, checkpoints=1)


@pytest.mark.parametrize(("harm", "word"), [("gone", "is not in the store"), ("changed", "is damaged"), ("cut", "is damaged")])
def test_a_file_that_is_not_what_its_row_says(engine: Engine, store: LocalStorage, runs: Path, run_id: str, harm: str, word: str) -> None:
    path = adapter(engine, store, run_id)
    path.unlink() if harm == "gone" else path.write_bytes(b"weighty" if harm == "changed" else b"w")
    [told] = look_through(engine, store, runs).damaged
    assert path.name in told
    assert word in told


def test_a_file_that_cannot_be_read_does_not_hide_the_others(
    engine: Engine, store: LocalStorage, runs: Path, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    unreadable, measure = adapter(engine, store, run_id).name, store.measure

    def failing(sha256: str) -> tuple[str, int] | None:
        if sha256 == unreadable:
            raise OSError(errno.EIO, "Input/output error")
        return measure(sha256)

    monkeypatch.setattr(store, "measure", failing)
    found = look_through(engine, store, runs)
    assert found.damaged == [f"The file {unreadable} (adapter, a.zip) cannot be read (Input/output error). Restore it from a backup."]
    assert (found.files, found.checkpoints) == (2, 1)


def test_a_run_folder_that_goes_while_one_looks_is_not_named(
    engine: Engine, store: LocalStorage, runs: Path, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (runs / "unknown").mkdir()
    settled = integrity._is_settled

    def removing(path: Path) -> bool:
        path.rmdir()
        return settled(path)

    monkeypatch.setattr(integrity, "_is_settled", removing)
    assert look_through(engine, store, runs).unknown == []


def test_a_broken_checkpoint(engine: Engine, store: LocalStorage, runs: Path, run_id: str) -> None:
    (runs / run_id / "checkpoints/5-t1/x").write_text("rubbish")
    [told] = look_through(engine, store, runs).damaged
    assert f"The checkpoint of step 5 of run {run_id} is broken" in told


def test_a_packed_checkpoint_may_be_missing_on_this_machine(engine: Engine, store: LocalStorage, runs: Path, run_id: str) -> None:
    shutil.rmtree(runs / run_id / "checkpoints")
    absent = [f"The checkpoint of step 5 of run {run_id} does not lie on this machine."]
    assert look_through(engine, store, runs) == Findings(files=2, absent=absent)
    with unit_of_work(engine) as session:
        run = session.get_one(Run, run_id)
        packed = keep(session, store, store.seal(_file(store, b"packed")), kind="checkpoint", filename="c.tar", owner=run)
        session.query(CheckpointRow).one().artifact = packed
    assert look_through(engine, store, runs).absent == []


def test_what_is_deleted_while_one_looks_is_not_missing(
    engine: Engine, store: LocalStorage, runs: Path, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = store.measure

    def deleting(sha256: str) -> tuple[str, int] | None:
        with unit_of_work(engine) as session:
            run = session.get_one(Run, run_id)
            if run.adapter:
                gone, run.adapter = run.adapter, None
                session.flush()
                drop(session, gone, store)
        return measure(sha256)

    monkeypatch.setattr(store, "measure", deleting)
    assert look_through(engine, store, runs).damaged == []


def test_what_no_row_speaks_of_is_named_once_nothing_can_be_under_way(engine: Engine, store: LocalStorage, runs: Path, run_id: str) -> None:
    sealed = store.seal(_file(store, b"nobody's"))
    store.put(sealed)
    (runs / "unknown").mkdir()
    assert look_through(engine, store, runs).unknown == []
    for path in (store.path(sealed.sha256), runs / "unknown"):
        os.utime(path, (time.time() - 7200,) * 2)
    assert look_through(engine, store, runs).unknown == [
        f"The file {sealed.sha256} (8 bytes) of the store.",
        f"The run folder {runs / 'unknown'}.",
    ]
    with unit_of_work(engine) as session:
        assert session.query(Artifact).filter_by(sha256=sealed.sha256).count() == 0
