"""Copies of the database made before its schema is changed: whole, checked, and only then given their name."""

from __future__ import annotations

import filecmp
import math
import os
import re
import shutil
import sqlite3
import subprocess
import time
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from app.domain.figures import in_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import URL

KEPT = 5
NAME = re.compile(r"hone-(\w+)-(\d{8}T\d{6}Z)\.(db|dump)")
UNNAMED = ".copying-"
ROOM_FACTOR = 2
"""A migration may write every table anew, so there has to be room for that beside the copy."""
PAGES = 4096
"""So many are copied between two looks at the clock."""
UNASKED = "Nothing was changed. Make a copy yourself and start with --no-backup (HONE_BACKUP=false)."


class NoBackup(Exception):
    """Why there is no copy of the database, in a sentence; so it was not changed either."""

    def __init__(self, why: str) -> None:
        super().__init__(f"The database has to be changed for this version of Hone, but first copied, and {why}. {UNASKED}")


class CopyFailed(Exception):
    """Why a database could not be copied, as a part of a sentence."""


class Backups:
    """The folder of a studio's copies."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def make(self, database: URL, revision: str) -> Path:
        """Copy the database at `revision`, check the copy, and return it; NoBackup says why there is none."""
        self.folder.mkdir(parents=True, exist_ok=True)
        is_sqlite = database.get_backend_name() == "sqlite"
        name = f"hone-{revision}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.{'db' if is_sqlite else 'dump'}"
        with self._unnamed() as unnamed:
            try:
                if is_sqlite:
                    copy_sqlite(Path(database.database or ""), unnamed, room_factor=ROOM_FACTOR)
                    check_sqlite(unnamed, revision)
                else:
                    dump_postgresql(database, unnamed)
            except CopyFailed as error:
                raise NoBackup(str(error)) from error
            kept = self._keep(unnamed, self.folder / name)
        # Two dumps of one state differ by their time, so a start that fails again and again is held back here.
        for path in self._newest_first(revision)[KEPT:]:
            path.unlink(missing_ok=True)
        return kept

    def drop_old(self) -> None:
        """Keep the newest few; what is not named like one of ours stays."""
        for path in [*self._newest_first()[KEPT:], *self.folder.glob(f"{UNNAMED}*")]:
            path.unlink(missing_ok=True)

    def _newest_first(self, revision: str | None = None) -> list[Path]:
        """Return our copies, of one revision or of all."""
        named = [
            (found[2], path) for path in self.folder.iterdir() if (found := NAME.fullmatch(path.name)) and revision in {None, found[1]}
        ]
        return [path for _, path in sorted(named, reverse=True)]

    @contextmanager
    def _unnamed(self) -> Iterator[Path]:
        path = self.folder / f"{UNNAMED}{os.getpid()}"
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def _keep(self, unnamed: Path, path: Path) -> Path:
        # A start that fails is tried again and again; copies of the same state would only fill the disk.
        for other in self.folder.glob(f"{path.name.rpartition('-')[0]}-*{path.suffix}"):
            if filecmp.cmp(unnamed, other, shallow=False):
                return other
        unnamed.chmod(0o600)
        flush(unnamed)
        unnamed.rename(path)
        flush(self.folder)
        return path


def copy_sqlite(source: Path, target: Path, *, room_factor: int = 1, seconds: float = math.inf) -> None:
    """Copy a database into one file. Unless it is in WAL mode nobody can write to it meanwhile: that may take `seconds` at most.

    The copy is not flushed: whoever holds up the writers does not wait for a disk.
    """
    needed, free = room_factor * size_of(source), shutil.disk_usage(target.parent).free
    if free < needed:
        raise CopyFailed(f"there is no room: {in_bytes(needed)} are needed in {target.parent}, {in_bytes(free)} are free")
    try:
        with (
            closing(sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True)) as read,
            closing(sqlite3.connect(target)) as written,
        ):
            written.execute("PRAGMA synchronous=OFF")
            in_wal = read.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            # One reading transaction around all steps: without it SQLite begins anew whenever another process writes.
            read.execute("BEGIN")
            read.execute("SELECT count(*) FROM sqlite_master").fetchone()
            read.backup(written, pages=PAGES, progress=_until(math.inf if in_wal else time.monotonic() + seconds, target))
            written.execute("PRAGMA journal_mode=DELETE")  # one file, whatever the source's journal
    except sqlite3.Error as error:
        raise CopyFailed(f"it could not be copied to {target.parent} ({error})") from error


def _until(deadline: float, target: Path) -> Callable[[int, int, int], None]:
    def look(_status: int, left: int, pages: int) -> None:
        if left and time.monotonic() > deadline:
            done = 100 * (pages - left) // pages
            raise CopyFailed(f"nobody could write for too long: {target.parent} had taken {done} % of it by then; use a faster disk")

    return look


def size_of(source: Path) -> int:
    """Return how large a copy of a SQLite database becomes at most."""
    return sum(path.stat().st_size for path in (source, source.with_name(f"{source.name}-wal")) if path.exists())


def check_sqlite(copy: Path, revision: str | None = None) -> None:
    """See that a copy is whole, and of that schema, if one is named."""
    with closing(sqlite3.connect(copy)) as connection:
        try:
            found = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
            told = connection.execute("SELECT version_num FROM alembic_version").fetchone()[0] if revision else None
        except sqlite3.Error as error:
            found, told = str(error), None
    if found != "ok":
        raise CopyFailed(f"it is damaged ({found.splitlines()[-1]}); put an earlier copy in its place")
    if told != revision:
        raise CopyFailed(f"the copy is of revision {told}, not {revision}: something else writes to it")


def dump_postgresql(database: URL, target: Path, *options: str) -> None:
    """Let PostgreSQL's own program write a dump and read its list of contents back; the password is not on its command line."""
    dump, restore = shutil.which("pg_dump"), shutil.which("pg_restore")
    if not dump or not restore:
        raise CopyFailed("pg_dump and pg_restore are not on the PATH")
    address, password = for_programs(database)
    for command in (
        [dump, "--format=custom", "--no-password", f"--file={target}", f"--dbname={address}", *options],
        [restore, "--list", str(target)],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | password)
        if done.returncode:
            raise CopyFailed(f"{Path(command[0]).name} failed: {done.stderr.strip().partition(chr(10))[0]}")


def for_programs(database: URL) -> tuple[str, dict[str, str]]:
    """Return how PostgreSQL's own programs are told where to connect: an address, and the password for their environment."""
    address = database.set(drivername="postgresql", password=None).render_as_string(hide_password=False)
    return address, {"PGPASSWORD": str(database.password)} if database.password else {}


def flush(path: Path) -> None:
    """Make a file, or a folder's names, last."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
