"""`hone backup`: everything a studio keeps, copied while it runs. The database first, then the files which that copy names.

A file's content never changes under its name, so only what is deleted meanwhile could be missing. Rows go before their files: a newer
copy of the database does not name those any more, so one is taken until nothing is missing.
"""

from __future__ import annotations

import re
import shutil
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import create_engine, text

from app.db.migrate import revision_of
from app.db.postgresql import be_patient
from app.db.session import make_engine
from app.domain.checkpoints import CheckpointBroken, record_of, verify
from app.domain.errors import NotFound
from app.gateways.backups import CopyFailed, check_sqlite, copy_sqlite, dump_postgresql
from app.gateways.secrets import KEY_FILE
from app.gateways.stores import make_store
from app.upkeep.chests import LIST, BackupFailed, Contents, Folder, Tar, check, flush, open_chest
from app.upkeep.databases import no_studio

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine

    from app.config import Settings
    from app.domain.checkpoints import FileRecord
    from app.gateways.stores import Store
    from app.upkeep.chests import Chest

NAME = re.compile(r"hone-\d{8}T\d{6}Z")
BLOBS = "blobs/"
ROUNDS = 20
UNFINISHED = ".making-"
LEFT_SECONDS = 24 * 3600.0
"""After so long what is unfinished was left by a backup that was killed."""
DATABASES = {"sqlite": "database.db", "postgresql": "database.dump"}


@dataclass(frozen=True)
class Made:
    """A backup that was made and read back."""

    path: Path
    files: int
    size_bytes: int
    missing: list[str]


@dataclass(frozen=True)
class Named:
    """What a copy of the database speaks of: files of the store, and checkpoints that lie on this machine alone."""

    revision: str
    blobs: dict[str, int]
    checkpoints: list[str]


def make_backup(settings: Settings, target: Path, *, keep: int | None = None) -> Made:
    """Make a backup: one tar file, or a folder of its own in `target`, where only the newest `keep` stay."""
    nothing = no_studio(settings)
    if nothing:
        raise BackupFailed(nothing)
    now = datetime.now(UTC)
    is_tar = target.suffix == ".tar"
    path = target.resolve() if is_tar else target.resolve() / f"hone-{now:%Y%m%dT%H%M%SZ}"
    if path.exists():
        message = f"{path} is there already. Choose another name."
        raise BackupFailed(message)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _workplace(path) as work:
        unnamed = work / "backup"
        if not is_tar:
            unnamed.mkdir()
        chest: Chest = Tar(unnamed, to_write=True) if is_tar else Folder(unnamed, to_write=True)
        with closing(chest):
            contents = _Packing(settings, chest, work).fill(now)
        with closing(open_chest(unnamed)) as made:
            check(made, contents)
        unnamed.rename(path)
        flush(path.parent)
    # While the studio lacks files, an older backup may be the last that has them.
    _clear(path.parent, None if is_tar or contents.missing else keep)
    return Made(path, len(contents.files), sum(record.size for record in contents.files.values()), contents.missing)


def _clear(folder: Path, keep: int | None) -> None:
    """Remove what killed backups left, and all but the newest `keep` backups; None keeps every one."""
    for left in folder.glob(f"{UNFINISHED}*"):
        if time.time() - left.stat().st_mtime > LEFT_SECONDS:
            shutil.rmtree(left, ignore_errors=True)
    backups = sorted((old for old in folder.iterdir() if NAME.fullmatch(old.name)), reverse=True)
    for old in backups[keep:] if keep else ():
        shutil.rmtree(old)


@contextmanager
def _workplace(path: Path) -> Iterator[Path]:
    work = path.with_name(f"{UNFINISHED}{path.name}")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(mode=0o700)
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


class _Packing:
    """One backup that is being made."""

    def __init__(self, settings: Settings, chest: Chest, work: Path) -> None:
        self.settings, self.chest, self.work = settings, chest, work
        self.engine: Engine = make_engine(settings.database)
        self.store: Store = make_store(settings.store_address, settings.store, settings.cache_bytes)
        self.files: dict[str, FileRecord] = {}
        self.brought: set[str] = set()

    def fill(self, now: datetime) -> Contents:
        """Bring everything; what rows speak of and is really not there is listed as missing."""
        kind = self.engine.url.get_backend_name()
        copy = self.work / DATABASES[kind]
        try:
            named, missing = self._bring_all(copy)
        finally:
            self.engine.dispose()
        self._take(copy.name, copy)
        key = self.settings.home.resolve() / KEY_FILE
        if key.is_file():
            self._take(KEY_FILE, Path(shutil.copyfile(key, self.work / KEY_FILE)))
        wanted = {DATABASES[kind], KEY_FILE, *(_place(sha256) for sha256 in named.blobs)}
        files = {
            name: record
            for name, record in self.files.items()
            if name in wanted or name.startswith(tuple(f"{c}/" for c in named.checkpoints))
        }
        contents = Contents(
            made_at=now.isoformat(), hone=version("hone"), database=kind, revision=named.revision, files=files, missing=missing
        )
        (self.work / LIST).write_text(contents.model_dump_json(indent=1), encoding="utf-8")
        self.chest.take(LIST, self.work / LIST)
        return contents

    def _bring_all(self, copy: Path) -> tuple[Named, list[str]]:
        gone: set[str] = set()
        for _ in range(ROUNDS):
            copy.unlink(missing_ok=True)
            named = self._copy_database(copy)
            self._check_room(named)
            before, gone = gone, {_place(sha256) for sha256 in named.blobs if not self._bring(_place(sha256), sha256)}
            gone |= {folder for folder in named.checkpoints if not self._bring(folder, None)}
            if gone <= before:
                # A row that outlived a whole copy of the database is no deletion under way: its file is lost.
                return named, sorted(gone)
        message = "So much is being deleted that no copy of the database fits the files. Try again later."
        raise BackupFailed(message)

    def _copy_database(self, copy: Path) -> Named:
        try:
            if self.engine.url.get_backend_name() == "sqlite":
                copy_sqlite(Path(self.engine.url.database or ""), copy)
                of_copy = create_engine(f"sqlite:///{copy}")
                with of_copy.connect() as connection:
                    named = _named(connection)
                of_copy.dispose()
                check_sqlite(copy, named.revision)
                return named
            with self.engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
                be_patient(connection)
                snapshot = connection.execute(text("SELECT pg_export_snapshot()")).scalar_one()
                dump_postgresql(self.engine.url, copy, f"--snapshot={snapshot}")
                return _named(connection)
        except CopyFailed as error:
            message = f"There is no backup of the database: {error}."
            raise BackupFailed(message) from error

    def _check_room(self, named: Named) -> None:
        needed = sum(size for sha256, size in named.blobs.items() if _place(sha256) not in self.brought)
        free = shutil.disk_usage(self.work).free
        if needed > free:
            message = f"There is no room: {needed / 1e6:,.1f} MB are needed in {self.work.parent}, {free / 1e6:,.1f} MB are free."
            raise BackupFailed(message)

    def _bring(self, name: str, sha256: str | None) -> bool:
        """Bring a file of the store, or a checkpoint's folder; False when it is not there, or not whole."""
        if name not in self.brought:
            try:
                self._bring_blob(name, sha256) if sha256 else self._bring_checkpoint(name)
            except (NotFound, CheckpointBroken, FileNotFoundError):
                return False
            self.brought.add(name)
        return True

    def _bring_blob(self, name: str, sha256: str) -> None:
        copy = self.work / sha256
        self.store.export(sha256, copy)
        if record_of(copy).sha256 != sha256:
            copy.unlink()
            raise FileNotFoundError(sha256)
        self._take(name, copy)

    def _bring_checkpoint(self, name: str) -> None:
        copy = self.work / "checkpoint"
        try:
            shutil.copytree(self.settings.home.resolve() / name, copy)
            verify(copy)
            for file in sorted(copy.iterdir()):
                self._take(f"{name}/{file.name}", file)
        except shutil.Error as error:
            raise FileNotFoundError(name) from error
        finally:
            shutil.rmtree(copy, ignore_errors=True)

    def _take(self, name: str, file: Path) -> None:
        self.files[name] = record_of(file)
        self.chest.take(name, file)


def _place(sha256: str) -> str:
    return f"{BLOBS}{sha256[:2]}/{sha256}"


def _named(connection: Connection) -> Named:
    blobs = connection.execute(text("SELECT DISTINCT sha256, size_bytes FROM artifacts")).all()
    here_alone = text("SELECT run_id, path FROM checkpoints WHERE state = 'good' AND artifact_id IS NULL")
    checkpoints = [f"runs/{run_id}/{path}" for run_id, path in connection.execute(here_alone)]
    return Named(revision_of(connection) or "", dict(blobs), checkpoints)
