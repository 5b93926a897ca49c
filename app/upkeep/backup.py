"""`hone backup`: everything a studio keeps, copied while it runs. The database first, then the files which that copy names.

A file's content never changes under its name, so only what is deleted meanwhile could be missing. Rows go before their files: a newer
copy of the database does not name those any more, so one is taken until nothing is missing.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import create_engine, inspect, text

from app.db.migrate import known_revisions, revision_of
from app.db.postgresql import take_time
from app.db.session import make_engine
from app.domain.checkpoints import CheckpointBroken, FileRecord, record_of, verify
from app.domain.errors import NotFound
from app.domain.figures import in_bytes
from app.gateways.backups import CopyFailed, check_sqlite, copy_sqlite, dump_postgresql, flush, size_of
from app.gateways.secrets import KEY_FILE
from app.gateways.stores import make_store
from app.upkeep.chests import LIST, BackupFailed, Contents, Folder, Tar, check, open_chest
from app.upkeep.databases import no_studio

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine

    from app.config import Settings
    from app.gateways.stores import Store
    from app.upkeep.chests import Chest

NAME = re.compile(r"hone-\d{8}T\d{6}Z")
BLOBS = "blobs/"
GOOD = "SELECT run_id, path FROM checkpoints WHERE state = 'good'"
ROUNDS = 20
UNFINISHED = ".making-"
LEFT_SECONDS = 24 * 3600.0
"""After so long what is unfinished was left by a backup that was killed."""
AMPLE = 2
"""There is room beside the database if so many copies fit: the studio's own disk must not become full."""
LEASE_PART = 4
"""A copy may keep everybody from writing for this part of a lease: from a half on, workers end their trainers."""
DATABASES = {"sqlite": "database.db", "postgresql": "database.dump"}


@dataclass(frozen=True)
class Made:
    """A backup that was made and read back; `missing` is what the studio has lost, `left` older backups that could not be removed."""

    path: Path
    files: int
    size_bytes: int
    missing: list[str]
    left: list[Path]


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
    _clear_unfinished(path.parent)
    # While the studio lacks files, an older backup may be the last that has them.
    left = [] if is_tar or contents.missing else _clear(path.parent, keep)
    return Made(path, len(contents.files), sum(record.size for record in contents.files.values()), contents.missing, left)


def _clear_unfinished(folder: Path) -> None:
    """Remove what killed backups left."""
    for left in folder.glob(f"{UNFINISHED}*"):
        with suppress(FileNotFoundError):  # another backup is just done with it
            if time.time() - left.stat().st_mtime > LEFT_SECONDS:
                shutil.rmtree(left, ignore_errors=True)


def _clear(folder: Path, keep: int | None) -> list[Path]:
    """Remove all but the newest `keep` backups (None keeps every one); return those that would not go."""
    backups = sorted((old for old in folder.iterdir() if NAME.fullmatch(old.name)), reverse=True)
    old = backups[keep:] if keep else []
    for one in old:
        shutil.rmtree(one, ignore_errors=True)
    return [one for one in old if one.exists()]


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
        self._take(copy.name, copy, record_of(copy))
        key = self.settings.home.resolve() / KEY_FILE
        if key.is_file():
            copied = Path(shutil.copyfile(key, self.work / KEY_FILE))
            self._take(KEY_FILE, copied, record_of(copied))
        wanted = {DATABASES[kind], KEY_FILE, *(_place(sha256) for sha256 in named.blobs)}
        folders = tuple(f"{folder}/" for folder in named.checkpoints)
        files = {name: record for name, record in self.files.items() if name in wanted or name.startswith(folders)}
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
                self._copy_sqlite(Path(self.engine.url.database or ""), copy)
                check_sqlite(copy)
                of_copy = create_engine(f"sqlite:///{copy}")
                with closing(of_copy.connect()) as connection:
                    named = _named(connection)
                of_copy.dispose()
                return named
            with self.engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
                take_time(connection)
                snapshot = connection.execute(text("SELECT pg_export_snapshot()")).scalar_one()
                dump_postgresql(self.engine.url, copy, f"--snapshot={snapshot}")
                return _named(connection)
        except CopyFailed as error:
            message = f"There is no backup of the database: {error}."
            raise BackupFailed(message) from error

    def _copy_sqlite(self, source: Path, copy: Path) -> None:
        # Nobody can write while it is copied, and the disk of backups may be slow: so beside the database first, if there is ample room.
        _clear_unfinished(source.parent)
        with _workplace(source.with_name(f"{source.name}-{os.getpid()}")) as beside:
            has_room = shutil.disk_usage(beside).free > AMPLE * size_of(source)
            near = beside / copy.name if has_room else copy
            copy_sqlite(source, near, seconds=self.settings.lease_seconds / LEASE_PART)
            shutil.move(near, copy)

    def _check_room(self, named: Named) -> None:
        blobs = sum(size for sha256, size in named.blobs.items() if _place(sha256) not in self.brought)
        folders = [self.settings.home.resolve() / name for name in named.checkpoints if name not in self.brought]
        needed = blobs + sum(_size_in(folder) for folder in folders)
        free = shutil.disk_usage(self.work).free
        if needed > free:
            message = f"There is no room: {in_bytes(needed)} are needed in {self.work.parent}, {in_bytes(free)} are free."
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
        record = record_of(copy)
        if record.sha256 != sha256:
            copy.unlink()
            raise FileNotFoundError(sha256)
        self._take(name, copy, record)

    def _bring_checkpoint(self, name: str) -> None:
        copy = self.work / "checkpoint"
        copy.mkdir()
        try:
            # Not copytree: it gathers all failures into one, and a full disk would look like a lost file.
            for file in (self.settings.home.resolve() / name).iterdir():
                shutil.copyfile(file, copy / file.name)
            records = verify(copy).files
            for file in sorted(copy.iterdir()):
                self._take(f"{name}/{file.name}", file, records.get(file.name) or record_of(file))
        finally:
            shutil.rmtree(copy, ignore_errors=True)

    def _take(self, name: str, file: Path, record: FileRecord) -> None:
        self.files[name] = record
        self.chest.take(name, file)


def _place(sha256: str) -> str:
    return f"{BLOBS}{sha256[:2]}/{sha256}"


def _size_in(folder: Path) -> int:
    sizes = 0
    with suppress(FileNotFoundError):  # it is on another machine, or was removed meanwhile
        for file in folder.iterdir():
            sizes += file.stat().st_size
    return sizes


def _named(connection: Connection) -> Named:
    """Read a database of any version's schema: before it is changed is when backups are made."""
    revision = revision_of(connection)
    if revision is None:
        message = "There is no studio in the database yet."
        raise BackupFailed(message)
    if revision not in known_revisions():
        message = f"The database was made by a newer Hone (schema {revision}). Make the backup with that."
        raise BackupFailed(message)
    can_be_packed = "artifact_id" in {column["name"] for column in inspect(connection).get_columns("checkpoints")}
    blobs = connection.execute(text("SELECT DISTINCT sha256, size_bytes FROM artifacts")).all()
    here_alone = GOOD + " AND artifact_id IS NULL" if can_be_packed else GOOD
    checkpoints = [f"runs/{run_id}/{path}" for run_id, path in connection.execute(text(here_alone))]
    return Named(revision, dict(blobs), checkpoints)
