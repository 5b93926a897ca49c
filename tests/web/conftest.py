"""A studio with a sample project, and browsers that look at it: a client of pages, and a real Chromium."""

from __future__ import annotations

import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI
from fastapi.testclient import TestClient
from playwright.sync_api import Browser, Page, expect, sync_playwright
from sqlalchemy import func, select, update

from app.config import Settings
from app.db import WorkerRow
from app.db.base import utc_now
from app.db.migrate import migrate
from app.db.session import make_engine, unit_of_work
from app.main import create_app
from app.services.accounts import Accounts
from app.services.studio import Studio
from app.web.server import Server
from tests.applications import made_once
from tools.chromium import executable
from tools.sample_project import Sample, fill

__all__ = ["made_once"]
LOOPBACK = "http://127.0.0.1"
APPEARS_MS = 60_000
"""How long what is expected on a page may take: usually it is there within a second, on a busy machine not."""


@pytest.fixture(scope="session")
def filled_home(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Sample]:
    """A home with a sample project, to copy."""
    home = tmp_path_factory.mktemp("filled")
    studio: Studio = create_app(Settings(home=home)).state.studio
    migrate(studio.engine)
    sample = fill(studio)
    studio.engine.dispose()
    return home, sample


@pytest.fixture
def sample(filled_home: tuple[Path, Sample]) -> Sample:
    """The ids of what the studio holds."""
    return filled_home[1]


@pytest.fixture
def make_app(filled_home: tuple[Path, Sample], tmp_path: Path) -> Iterator[Callable[..., FastAPI]]:
    """A maker of applications on a copy of the sample project."""
    home = shutil.copytree(filled_home[0], tmp_path / "home")
    _live_on(home)
    made: list[FastAPI] = []

    def make(**settings: object) -> FastAPI:
        made.append(create_app(Settings(home=home, **settings)))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for app in made:
        app.state.studio.engine.dispose()


def _live_on(home: Path) -> None:
    """Give the sample's workers a sign of life: the project may have been filled longer ago than a lease lasts."""
    engine = make_engine(Settings(home=home).database)
    with unit_of_work(engine) as session:
        seconds = utc_now().timestamp() - (session.scalar(select(func.max(WorkerRow.updated_at))) or 0)
        session.execute(update(WorkerRow).values(updated_at=WorkerRow.updated_at + seconds))
    engine.dispose()


@pytest.fixture
def app(make_app: Callable[..., FastAPI]) -> FastAPI:
    """A studio that only this machine can reach."""
    return make_app()


@pytest.fixture
def studio(app: FastAPI) -> Studio:
    """Its parts."""
    found: Studio = app.state.studio
    return found


@pytest.fixture
def browser(app: FastAPI) -> Iterator[TestClient]:
    """A browser on this machine: the local owner's."""
    with TestClient(app, base_url=LOOPBACK, follow_redirects=False) as client:
        yield client


@pytest.fixture
def stranger(make_app: Callable[..., FastAPI]) -> Iterator[TestClient]:
    """A browser on another machine, not signed in."""
    with TestClient(make_app(host="0.0.0.0"), base_url="http://studio.example", follow_redirects=False) as client:  # noqa: S104
        yield client


@pytest.fixture
def empty(tmp_path: Path, migrated_sqlite: Path) -> Iterator[TestClient]:
    """A browser on a studio that holds nothing yet."""
    home = tmp_path / "empty"
    home.mkdir()
    shutil.copy(migrated_sqlite, home / "hone.db")
    app = create_app(Settings(home=home))
    _make_owner(app.state.studio)
    with TestClient(app, base_url=LOOPBACK, follow_redirects=False) as client:
        yield client
    app.state.studio.engine.dispose()


def _make_owner(studio: Studio) -> None:
    """Enter the local owner, as the first start does."""
    with unit_of_work(studio.engine) as session:
        Accounts(session).ensure_owner()


@pytest.fixture
def address(app: FastAPI) -> Iterator[str]:
    """A served studio with the sample project."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Server(uvicorn.Config(app, log_config=None, lifespan="off"), app.state.web.live.close)
        serving = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        serving.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        app.state.web.live.close()
        server.should_exit = True
        serving.join()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A real browser; each tab of it that a test opens knows nothing of the others."""
    path = executable()
    if path is None:
        pytest.skip("there is no Chromium; make setup-dev installs one")
    expect.set_options(timeout=APPEARS_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser, address: str) -> Iterator[Page]:
    """A tab of it on the studio, which must not complain."""
    page = chromium.new_page(base_url=address, viewport={"width": 1440, "height": 900})
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    page.close()
    assert complaints == []
