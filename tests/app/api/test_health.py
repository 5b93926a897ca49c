"""What a studio tells of its own health: tried, within a bounded time, and nothing of the inside."""

from __future__ import annotations

import asyncio
import errno
import resource
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import httpx
import pytest
from anyio import to_thread
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import Engine, event
from structlog.testing import capture_logs

from app.config import Settings
from app.db.session import unit_of_work
from app.gateways.storage import LocalStorage
from app.launcher import prepare
from app.main import create_app
from app.services import disk
from app.services.accounts import Accounts
from app.services.readiness import try_storage
from app.services.studio import Studio
from tests.waiting import PATIENCE_SECONDS, until

Started = Callable[..., TestClient]


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Started]:
    """Start a web on the test's home, as the settings say; on a machine that is busy its checks may take their time."""
    monkeypatch.setattr("app.services.readiness.PATIENCE_SECONDS", PATIENCE_SECONDS)
    settings = Settings(home=tmp_path, workers=False)
    prepare(settings)
    apps: list[FastAPI] = []

    def start(**given: object) -> TestClient:
        apps.append(create_app(settings.model_copy(update=given)))
        return TestClient(apps[-1], base_url="http://127.0.0.1")

    yield start
    for app in apps:
        app.state.studio.engine.dispose()


def checks(client: TestClient) -> dict[str, bool]:
    answer = client.get("/readyz")
    found = cast("dict[str, bool]", answer.json()["checks"])
    assert answer.status_code == (200 if all(found[name] for name in found if name != "disk") else 503)
    assert answer.json()["status"] == ("ok" if answer.status_code == 200 else "not ready")
    return found


def failing(client: TestClient) -> set[str]:
    return {name for name, works in checks(client).items() if not works}


def litter(home: Path) -> list[Path]:
    return [path for path in (home / "artifacts").rglob("*") if path.is_file()]


def test_a_studio_that_has_everything_is_ready(started: Started, tmp_path: Path) -> None:
    client = started()
    assert failing(client) == set()
    assert client.get("/healthz").json() == client.get("/readyz").json()
    assert litter(tmp_path) == []  # what was tried is gone again


def test_a_database_that_can_only_be_read_is_not_ready(started: Started) -> None:
    client = started()
    studio: Studio = client.app.state.studio  # type: ignore[attr-defined]
    event.listen(studio.engine, "connect", lambda connection, _: connection.execute("PRAGMA query_only=ON"))
    assert failing(client) == {"database"}


def test_a_key_reads_from_a_database_that_takes_no_writes(started: Started) -> None:
    client = started()
    studio: Studio = client.app.state.studio  # type: ignore[attr-defined]
    with unit_of_work(studio.engine) as session:
        _, key = Accounts(session).create_key(Accounts(session).ensure_owner(), "never used before")
    studio.engine.dispose()
    event.listen(studio.engine, "connect", lambda connection, _: connection.execute("PRAGMA query_only=ON"))
    client.headers["Authorization"] = f"Bearer {key}"
    assert client.get("/api/v1/runs").status_code == 200


def test_a_database_without_its_tables_is_not_ready(started: Started, tmp_path: Path) -> None:
    assert failing(started(database_url=f"sqlite:///{tmp_path / 'empty.db'}")) == {"database", "migrations"}


def test_a_store_that_takes_nothing_is_not_ready(started: Started, tmp_path: Path) -> None:
    (tmp_path / "artifacts").mkdir(exist_ok=True)
    (tmp_path / "artifacts" / "blobs").write_text("a file where the folder should be")
    client = started()
    assert failing(client) == {"storage"}
    (tmp_path / "artifacts" / "blobs").unlink()
    assert failing(client) == set()


@pytest.mark.parametrize("step", ["seal", "put", "measure"])
def test_a_store_that_fails_halfway_keeps_nothing_of_what_was_tried(
    started: Started, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    client = started()

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "the disk fails")

    monkeypatch.setattr(LocalStorage, step, fail)
    assert failing(client) == {"storage"}
    assert litter(tmp_path) == []


def test_a_disk_that_takes_no_byte_keeps_nothing_of_what_was_tried(started: Started, tmp_path: Path) -> None:
    client, limits = started(), resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
        with pytest.raises(OSError, match="File too large"):
            try_storage(client.app.state.studio.storage, tmp_path / "artifacts" / "incoming")  # type: ignore[attr-defined]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert litter(tmp_path) == []


def test_what_is_dear_to_ask_is_not_asked_each_time(started: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.services.readiness.FRESH_SECONDS", PATIENCE_SECONDS)
    client, asked = started(), list[str]()

    def is_current(_: Engine) -> bool:
        asked.append("schema")
        return True

    monkeypatch.setattr("app.services.readiness.is_current", is_current)
    monkeypatch.setattr("app.services.readiness.try_storage", lambda *_: asked.append("store"))
    for _ in range(3):
        assert failing(client) == set()
    assert sorted(asked) == ["schema", "store"]


def test_a_disk_with_little_room_is_told_and_keeps_nobody_from_working(started: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "LEAST_FREE_BYTES", 2**60)
    monkeypatch.setattr(disk, "LEAST_FREE_SHARE", 1.0)
    client = started()
    with capture_logs() as lines:
        assert failing(client) == {"disk"}
    assert client.get("/readyz").status_code == 200
    assert [line["ready"] for line in lines if line["event"] == "readiness"] == [True]


def test_a_studio_that_should_have_workers_and_has_none_is_not_ready(started: Started) -> None:
    assert failing(started(workers=True)) == {"workers", "inference"}


def test_the_log_hears_of_readiness_when_it_changes(started: Started, tmp_path: Path) -> None:
    client = started()
    (tmp_path / "artifacts" / "blobs").write_text("a file where the folder should be")
    with capture_logs() as lines:
        for _ in range(3):
            checks(client)
        (tmp_path / "artifacts" / "blobs").unlink()
        checks(client)
    first, second = lines
    assert (first["event"], first["ready"], second["ready"]) == ("readiness", False, True)
    assert "blobs" in first["storage"]


def test_a_store_that_hangs_holds_up_nobody_and_is_asked_once(started: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    client, released, asked = started(), threading.Event(), []

    def hang(*_: object) -> None:
        asked.append(1)
        released.wait(PATIENCE_SECONDS)

    monkeypatch.setattr("app.services.readiness.PATIENCE_SECONDS", 0.2)
    monkeypatch.setattr("app.services.readiness.try_storage", hang)
    for _ in range(2):  # those that can answer do so before the patience is over, if not at the first look
        until(lambda: failing(client) == {"storage"})
    until(lambda: asked)
    assert asked == [1]
    released.set()


def test_a_web_whose_threads_all_wait_still_tells_of_its_health(started: Started) -> None:
    app, released = started().app, threading.Event()

    async def ask() -> list[int]:
        busy = [asyncio.create_task(to_thread.run_sync(released.wait, PATIENCE_SECONDS)) for _ in range(60)]
        await asyncio.sleep(0.5)
        try:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client, asyncio.timeout(100):
                return [(await client.get(path)).status_code for path in ("/livez", "/readyz")]
        finally:
            released.set()
            await asyncio.gather(*busy)

    assert asyncio.run(ask()) == [200, 200]
