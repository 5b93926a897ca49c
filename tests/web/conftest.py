"""A studio with a sample project, and browsers that look at it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.config import Settings
from app.db.migrate import migrate
from app.db.session import unit_of_work
from app.main import create_app
from app.services.accounts import Accounts
from app.services.studio import Studio
from tests.databases import migrated_sqlite
from tools.sample_project import Sample, fill

__all__ = ["migrated_sqlite"]
LOOPBACK = "http://127.0.0.1"


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
    made: list[FastAPI] = []

    def make(**settings: object) -> FastAPI:
        made.append(create_app(Settings(home=home, **settings)))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for app in made:
        app.state.studio.engine.dispose()


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
