"""`hone restore`: a backup into an empty home, verified as it is read; whatever goes wrong, no home is left half-made."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import inspect, make_url

from app.db.migrate import known_revisions
from app.db.session import make_engine
from app.gateways.backups import flush, for_programs
from app.gateways.secrets import KEY_FILE
from app.gateways.stores import make_store
from app.upkeep.backup import BLOBS, DATABASES
from app.upkeep.chests import BackupFailed, Contents, Reading, contents_of, damaged, open_chest

if TYPE_CHECKING:
    from app.config import Settings
    from app.domain.checkpoints import FileRecord
    from app.upkeep.chests import Chest

PLACES = {DATABASES["sqlite"]: "hone.db"}
OF_THE_DISK = "lost+found"
"""What a new disk holds of its own, at the top."""
NOTHING = "Nothing was changed."


def restore(settings: Settings, source: Path) -> Contents:
    """Bring a backup back into an empty home (and an empty PostgreSQL database, if it is of one); return its list."""
    home = settings.home.resolve()
    if home.exists() and any(entry.name != OF_THE_DISK for entry in home.iterdir()):
        message = f"{home} is not empty. Name a new or an empty folder with --home. {NOTHING}"
        raise BackupFailed(message)
    with closing(open_chest(source)) as chest:
        contents = contents_of(chest, source)
        _check_fit(settings, contents)
        home.parent.mkdir(parents=True, exist_ok=True)
        # A home that is there may be a mounted disk: nothing can take its place, and beside it lies another disk.
        beside = home if home.exists() else home.parent
        with tempfile.TemporaryDirectory(dir=beside, prefix=f".restoring-{home.name}-") as name:
            making = settings.model_copy(update={"home": Path(name) / "home"})
            _bring_all(making, chest, contents)
            if contents.database == "postgresql":
                # The last step that can fail: after it only names change.
                dump = making.home / DATABASES["postgresql"]
                _restore_postgresql(settings, dump)
                dump.unlink()
            for folder in [making.home, *(path for path in making.home.rglob("*") if path.is_dir())]:
                flush(folder)
            if beside == home:
                # The database last: a home without one is no studio, and one with it has everything.
                for entry in sorted(making.home.iterdir(), key=lambda entry: entry.name in PLACES.values()):
                    entry.rename(home / entry.name)
            else:
                making.home.rename(home)
            flush(beside)
    return contents


def _bring_all(making: Settings, chest: Chest, contents: Contents) -> None:
    store = make_store(making.store_address, making.store, making.cache_bytes) if making.storage_url else None
    for file, record in contents.files.items():
        copy = _bring(making.home, chest, file, record)
        if store and file.startswith(BLOBS):
            store.put(store.seal(Path(shutil.move(copy, store.incoming))))


def _check_fit(settings: Settings, contents: Contents) -> None:
    """See that this version, and these settings, can take the backup."""
    if contents.revision not in known_revisions():
        message = f"The backup was made by a newer Hone ({contents.hone}, schema {contents.revision}). Restore it with that. {NOTHING}"
        raise BackupFailed(message)
    if contents.database == "sqlite" and settings.database_url:
        message = f"The backup has a SQLite database: restore it without HONE_DATABASE_URL. {NOTHING}"
        raise BackupFailed(message)
    if contents.database == "postgresql":
        if not settings.database_url:
            message = f"The backup is of PostgreSQL: name an empty database with HONE_DATABASE_URL or --database-url. {NOTHING}"
            raise BackupFailed(message)
        engine = make_engine(settings.database)
        tables = inspect(engine).get_table_names()
        engine.dispose()
        if tables:
            message = f"The database is not empty. Make a new one (createdb) and name that. {NOTHING}"
            raise BackupFailed(message)


def _bring(home: Path, chest: Chest, name: str, record: FileRecord) -> Path:
    """Copy one file to where it belongs, seeing that it is what the list says; return where."""
    copy = home / PLACES.get(name, f"artifacts/{name}" if name.startswith(BLOBS) else name)
    if not copy.resolve().is_relative_to(home.resolve()):
        raise BackupFailed(damaged(name))
    copy.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with Reading(chest, name) as reading, copy.open("wb") as file:
        while piece := reading.read():
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    if reading.record != record:
        raise BackupFailed(damaged(name))
    if name == KEY_FILE:
        copy.chmod(0o600)
    return copy


def _restore_postgresql(settings: Settings, dump: Path) -> None:
    address, password = for_programs(make_url(settings.database))
    program = shutil.which("pg_restore")
    if not program:
        message = f"pg_restore is not on the PATH. {NOTHING}"
        raise BackupFailed(message)
    command = [program, "--no-owner", "--no-password", "--exit-on-error", "--single-transaction", f"--dbname={address}", str(dump)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | password)
    if done.returncode:
        message = f"pg_restore failed: {done.stderr.strip().partition(chr(10))[0]}. {NOTHING}"
        raise BackupFailed(message)
