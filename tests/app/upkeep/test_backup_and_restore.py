"""What `hone backup` and `hone restore` do and refuse; a studio that works meanwhile is tested in tests/faults/test_backup.py."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sqlite3
import stat
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import text

from app.config import Settings
from app.db import CheckpointRow, Run
from app.db.artifacts import keep
from app.db.migrate import _config
from app.db.session import make_engine, unit_of_work
from app.gateways import backups
from app.gateways.secrets import SecretBox
from app.gateways.stores import make_store
from app.services.accounts import Accounts
from app.services.integrity import look_through
from app.upkeep import commands
from app.upkeep.backup import make_backup
from app.upkeep.chests import LIST, BackupFailed, Contents
from app.upkeep.restore import restore
from tests.databases import add_dataset, add_run
from tests.s3_server import ADDRESS, S3Server, s3
from workers.training.checkpoints import Checkpoints

__all__ = ["s3"]
CONTENT = b"an adapter"


def fill(settings: Settings, template: Path) -> Settings:
    """Make a studio with a key and one file, besides that of the dataset which is nowhere."""
    settings.home.mkdir()
    shutil.copy(template, settings.home / "hone.db")
    SecretBox(None, settings.home).lock("a secret")
    engine, store = make_engine(settings.database), make_store(settings.store_address, settings.store, settings.cache_bytes)
    with unit_of_work(engine) as session:
        owner = Accounts(session).ensure_owner()
    run_id = add_run(engine, owner, add_dataset(engine, owner))
    source = store.incoming / "x"
    source.write_bytes(CONTENT)
    sealed = store.seal(source)
    with unit_of_work(engine) as session:
        run = session.get_one(Run, run_id)
        run.adapter = keep(session, store, sealed, kind="adapter", filename="a.zip", owner=run)
        run.version.artifact.sha256, run.version.artifact.size_bytes = sealed.sha256, sealed.size_bytes
    engine.dispose()
    return settings


@pytest.fixture
def settings(migrated_sqlite: Path, tmp_path: Path) -> Settings:
    return fill(Settings(home=tmp_path / "home"), migrated_sqlite)


@pytest.fixture
def copy(settings: Settings, tmp_path: Path) -> Path:
    return make_backup(settings, tmp_path / "copies").path


def is_whole(settings: Settings) -> bool:
    engine = make_engine(settings.database)
    found = look_through(engine, make_store(settings.store_address, settings.store, settings.cache_bytes), settings.runs)
    engine.dispose()
    return (found.damaged, found.files) == ([], 1)


def test_only_the_newest_stay_and_nothing_else_is_touched(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copies = tmp_path / "copies"
    for name in ("hone-20260101T000000Z", "hone-20270101T000000Z", "mine"):
        (copies / name).mkdir(parents=True)
    made = make_backup(settings, copies, keep=2)
    assert sorted(path.name for path in copies.iterdir()) == sorted([made.path.name, "hone-20270101T000000Z", "mine"])


def test_what_a_killed_backup_left_goes_after_a_day(settings: Settings, tmp_path: Path) -> None:
    copies = tmp_path / "copies"
    for name, age in ((".making-hone-1", 25), (".making-hone-2", 1)):
        (copies / name).mkdir(parents=True)
        os.utime(copies / name, (time.time() - age * 3600,) * 2)
    made = make_backup(settings, copies)
    assert sorted(path.name for path in copies.iterdir()) == [".making-hone-2", made.path.name]


@pytest.mark.parametrize("name", ["copies", "copy.tar"])
def test_a_backup_comes_back_whole_and_its_key_stays_its_owners(settings: Settings, tmp_path: Path, name: str) -> None:
    made = make_backup(settings, tmp_path / name)
    again = Settings(home=tmp_path / "again")
    contents = restore(again, made.path)
    assert (contents.missing, is_whole(again)) == ([], True)
    key = again.home / "secret.key"
    assert key.read_bytes() == (settings.home / "secret.key").read_bytes()
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["again", "home", name])


def test_an_empty_home_is_filled_and_not_replaced_since_it_may_be_a_mounted_disk(copy: Path, tmp_path: Path) -> None:
    again = Settings(home=tmp_path / "again")
    again.home.mkdir()
    mounted = again.home.stat().st_ino
    restore(again, copy)
    assert is_whole(again)
    assert again.home.stat().st_ino == mounted
    assert not list(again.home.glob(".restoring-*"))


def test_into_a_mounted_disk_the_database_comes_last(copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    again = Settings(home=tmp_path / "again")
    (again.home / "lost+found").mkdir(parents=True)
    rename, listed, came = Path.rename, Path.iterdir, []

    def watched(source: Path, target: Path) -> Path:
        came.append(target.name)
        return rename(source, target)

    monkeypatch.setattr(Path, "rename", watched)
    monkeypatch.setattr(Path, "iterdir", lambda folder: sorted(listed(folder), key=lambda path: path.name != "hone.db"))
    restore(again, copy)
    assert (sorted(came[:-1]), came[-1]) == (["artifacts", "secret.key"], "hone.db")


def test_between_s3_and_a_folder_and_back(migrated_sqlite: Path, tmp_path: Path, s3: S3Server) -> None:
    remote = fill(Settings(home=tmp_path / "home", storage_url=ADDRESS), migrated_sqlite)
    made = make_backup(remote, tmp_path / "copies")
    here = Settings(home=tmp_path / "here")
    restore(here, made.path)
    assert is_whole(here)
    s3.client.delete_object(Bucket="studio", Key=s3.client.list_objects_v2(Bucket="studio")["Contents"][0]["Key"])
    there = Settings(home=tmp_path / "there", storage_url=ADDRESS)
    restore(there, made.path)
    assert is_whole(there)
    assert [path for path in (there.home / "artifacts").rglob("*") if path.is_file()] == []


def test_a_home_with_anything_in_it_is_left_alone(copy: Path, tmp_path: Path) -> None:
    home = tmp_path / "mine"
    home.mkdir()
    (home / "letter").write_text("keep me")
    with pytest.raises(BackupFailed, match="is not empty"):
        restore(Settings(home=home), copy)
    assert [path.name for path in home.iterdir()] == ["letter"]


def change(copy: Path, **fields: str) -> None:
    contents = json.loads((copy / LIST).read_text()) | fields
    (copy / LIST).write_text(Contents(**contents).model_dump_json())


@pytest.mark.parametrize(("harm", "word"), [
    (lambda copy: change(copy, revision="9999"), "made by a newer Hone"),
    (lambda copy: change(copy, database="postgresql"), "name an empty database"),
    (lambda copy: (copy / LIST).unlink(), "no whole backup"),
    (shutil.rmtree, "no whole backup"),
    (lambda copy: (copy / "database.db").unlink(), "damaged: database.db"),
    (lambda copy: (copy / "secret.key").write_text("another"), "damaged: secret.key"),
])  # fmt: skip
def test_what_cannot_be_restored_leaves_no_home(copy: Path, tmp_path: Path, harm: Callable[[Path], object], word: str) -> None:
    harm(copy)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(BackupFailed, match=word):
        restore(Settings(home=tmp_path / "again"), copy)
    assert sorted(tmp_path.iterdir()) == before


def test_a_list_cannot_lead_out_of_the_home(copy: Path, tmp_path: Path) -> None:
    contents = json.loads((copy / LIST).read_text())
    contents["files"]["../escaped"] = contents["files"].pop("secret.key")
    (copy / "secret.key").rename(copy.parent / "escaped")
    (copy / LIST).write_text(json.dumps(contents))
    with pytest.raises(BackupFailed, match="damaged"):
        restore(Settings(home=tmp_path / "again"), copy)
    assert not (tmp_path / "escaped").exists()


def test_a_backup_of_sqlite_does_not_go_into_postgresql(copy: Path, tmp_path: Path) -> None:
    with pytest.raises(BackupFailed, match="without HONE_DATABASE_URL"):
        restore(Settings(home=tmp_path / "again", database_url="postgresql://127.0.0.1:1/hone"), copy)


def test_a_backup_without_room_is_refused_and_leaves_nothing(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = shutil.disk_usage(tmp_path)._replace(free=5)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    with pytest.raises(BackupFailed, match="no room"):
        make_backup(settings, tmp_path / "copies")
    assert list((tmp_path / "copies").iterdir()) == []


def test_the_studio_can_write_while_its_copy_goes_to_a_slow_disk(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    move, engine = shutil.move, make_engine(settings.database)
    moved: list[Path] = []

    def slowly(source: Path, target: Path) -> None:
        moved.append(source)
        with unit_of_work(engine) as session:
            session.execute(text("UPDATE runs SET name = 'renamed meanwhile'"))
        move(source, target)

    monkeypatch.setattr(shutil, "move", slowly)
    before = sorted(settings.home.iterdir())
    restore(Settings(home=tmp_path / "again"), make_backup(settings, tmp_path / "copies").path)
    assert [path.is_relative_to(settings.home) for path in moved] == [True]
    assert sorted(settings.home.iterdir()) == before
    engine.dispose()


def test_a_copy_that_keeps_everybody_from_writing_for_too_long_is_given_up(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backups, "PAGES", 1)
    monkeypatch.setattr(time, "monotonic", iter(range(0, 10**6, 10)).__next__)  # ten seconds for each page
    with pytest.raises(BackupFailed, match="nobody could write for too long"):
        make_backup(settings, tmp_path / "copies")
    assert [path for folder in (settings.home, tmp_path / "copies") for path in folder.glob(".making-*")] == []


def with_a_checkpoint(settings: Settings) -> Path:
    """Give the run a checkpoint of one large file that lies on this machine alone."""
    engine = make_engine(settings.database)
    with unit_of_work(engine) as session:
        [run] = session.query(Run)
        session.add(CheckpointRow(run_id=run.id, project_id=run.project_id, step=1, lease_token=1, path="checkpoints/1-t1"))
        folder = settings.runs / run.id / "checkpoints"
    engine.dispose()
    Checkpoints(folder, lease_token=1, keep=None).save(1, _write)
    return folder / "1-t1"


def _write(folder: Path) -> None:
    (folder / "weights").write_bytes(bytes(10**6))


def test_room_is_needed_for_checkpoints_too(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_a_checkpoint(settings)
    little = shutil.disk_usage(tmp_path)._replace(free=10**6)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: little)
    with pytest.raises(BackupFailed, match=r"There is no room: 1\.0 MB are needed"):
        make_backup(settings, tmp_path / "copies")


def test_a_disk_that_becomes_full_is_no_loss_of_the_studios_own(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint, copyfile = with_a_checkpoint(settings), shutil.copyfile

    def full(source: Path, target: Path, **options: bool) -> object:
        if Path(source).parent == checkpoint:
            raise OSError(errno.ENOSPC, "No space left on device", str(target))
        return copyfile(source, target, **options)

    monkeypatch.setattr(shutil, "copyfile", full)
    assert commands.backup(settings, tmp_path / "copies", keep=None, as_json=False) == 1
    assert "No space left on device" in capsys.readouterr().err
    assert list((tmp_path / "copies").iterdir()) == []


@pytest.mark.parametrize("name", ["copies", "copy.tar"])
def test_a_checkpoint_comes_back(settings: Settings, tmp_path: Path, name: str) -> None:
    checkpoint = with_a_checkpoint(settings)
    again = Settings(home=tmp_path / "again")
    restore(again, make_backup(settings, tmp_path / name).path)
    back = again.home / checkpoint.relative_to(settings.home)
    assert {path.name: path.read_bytes() for path in back.iterdir()} == {path.name: path.read_bytes() for path in checkpoint.iterdir()}


@pytest.mark.parametrize("revision", ["0001", "0002", "0003"])
def test_a_studio_is_backed_up_before_its_schema_is_changed(settings: Settings, tmp_path: Path, revision: str) -> None:
    (settings.home / "hone.db").unlink()
    engine, config = make_engine(settings.database), _config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()
    assert restore(Settings(home=tmp_path / "again"), make_backup(settings, tmp_path / "copies").path).revision == revision


@pytest.mark.parametrize(("harm", "word"), [
    ("UPDATE alembic_version SET version_num = '9999'", "made by a newer Hone"),
    ("DROP TABLE alembic_version", "no studio in the database yet"),
    (None, "it is damaged"),
])  # fmt: skip
def test_a_database_that_cannot_be_copied_is_told_why(settings: Settings, tmp_path: Path, harm: str | None, word: str) -> None:
    database = settings.home / "hone.db"
    with closing(sqlite3.connect(database)) as connection, connection:
        if harm:
            connection.execute(harm)
        [[root]] = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'artifacts'")
        [[size]] = connection.execute("PRAGMA page_size")
    if not harm:
        content = bytearray(database.read_bytes())
        content[(root - 1) * size : root * size] = bytes(size)
        database.write_bytes(content)
    with pytest.raises(BackupFailed, match=word):
        make_backup(settings, tmp_path / "copies")


def test_an_older_backup_that_would_not_go_is_told_of_and_the_new_one_counts(
    settings: Settings, copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    old, rmtree = copy.rename(copy.with_name("hone-20260101T000000Z")), shutil.rmtree

    def refuse(path: Path, *, ignore_errors: bool = False) -> None:
        if path != old:
            rmtree(path, ignore_errors=ignore_errors)
        elif not ignore_errors:
            raise PermissionError(path)

    monkeypatch.setattr(shutil, "rmtree", refuse)
    assert commands.backup(settings, copy.parent, keep=1, as_json=False) == 0
    told = capsys.readouterr()
    assert f"{old} is older and could not be removed" in told.err
    assert Path(told.out.strip()).is_dir()


@pytest.mark.parametrize("part", [0.02, 0.5, 0.95])
def test_a_tar_that_was_cut_short_is_no_whole_backup(settings: Settings, tmp_path: Path, part: float) -> None:
    made = make_backup(settings, tmp_path / "copy.tar").path
    os.truncate(made, int(made.stat().st_size * part))
    with pytest.raises(BackupFailed, match=r"no whole backup|damaged"):
        restore(Settings(home=tmp_path / "again"), made)


def test_nothing_is_written_over(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "copy.tar").write_text("mine")
    with pytest.raises(BackupFailed, match="is there already"):
        make_backup(settings, tmp_path / "copy.tar")
    assert (tmp_path / "copy.tar").read_text() == "mine"


def test_the_commands_answer_in_json_and_by_their_exit_code(settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.backup(settings, tmp_path / "copy.tar", keep=None, as_json=True) == 0
    made = json.loads(capsys.readouterr().out)
    assert (made["backup"], made["missing"]) == (str(tmp_path / "copy.tar"), [])
    assert commands.restore(Settings(home=tmp_path / "again"), Path(made["backup"]), as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["home"] == str(tmp_path / "again")
    assert commands.restore(Settings(home=tmp_path / "again"), Path(made["backup"]), as_json=True) == 1
    assert "is not empty" in capsys.readouterr().err
    assert commands.backup(settings, tmp_path / "copy.tar", keep=3, as_json=True) == 2


@pytest.mark.parametrize("command", [commands.backup, commands.restore])
def test_a_database_that_is_away_is_told_of(
    settings: Settings, copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: Callable[..., int]
) -> None:
    away = Settings(home=tmp_path / "again", database_url="postgresql://hone:a-password@127.0.0.1:1/hone")
    change(copy, database="postgresql")
    options = {"keep": None} if command is commands.backup else {}
    assert command(away, copy, as_json=False, **options) == 1
    told = capsys.readouterr().err
    assert told.startswith("hone: The database does not answer at 127.0.0.1:1. Start it, or correct HONE_DATABASE_URL.")
    assert "a-password" not in told


def test_a_home_without_a_studio_has_no_backup_and_gets_no_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.backup(Settings(home=tmp_path / "none"), tmp_path / "copies", keep=None, as_json=False) == 1
    assert capsys.readouterr().err == f"hone: There is no studio in {tmp_path / 'none'} yet. No backup was made.\n"
    assert list(tmp_path.iterdir()) == []


def test_a_studio_that_has_lost_a_file_is_told_so_and_older_backups_stay(
    settings: Settings, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = copy.rename(copy.with_name("hone-20260101T000000Z"))
    shutil.rmtree(settings.store / "blobs")
    assert commands.backup(settings, copy.parent, keep=1, as_json=False) == 1
    told = capsys.readouterr().err
    assert "is missing or damaged in the studio itself" in told
    assert "Older backups were kept" in told
    assert whole.exists()
    [lacking] = {path for path in copy.parent.iterdir() if path != whole}
    assert commands.restore(Settings(home=copy.parent / "again"), lacking, as_json=False) == 0
    assert "was missing or damaged already when the backup was made" in capsys.readouterr().err
