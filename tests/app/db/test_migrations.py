"""The migrations make exactly the tables the code knows, and can be taken back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, MetaData, create_engine, inspect, make_url, text
from sqlalchemy.orm import Session

from app.db import Base, CheckpointRow, Dataset, Run
from app.db.migrate import _config, is_current, migrate
from app.db.session import make_engine

OWNED = {"datasets", "dataset_files", "dataset_versions", "imports", "runs", "artifacts", "api_keys", "webhooks"}
NAMED = {"projects", "users", "events", "metric_points", "metric_chunks", "metric_latest", "checkpoints", "workers", "audit"}
NAMED |= {"webhook_deliveries", "queues", "run_log", "counters", "version_files", "sample_prompts", "sample_answers"}


def test_the_database_is_what_the_tables_say(engine: Engine) -> None:
    assert is_current(engine)
    assert _differences(engine) == []
    assert set(inspect(engine).get_table_names()) >= OWNED | NAMED


@pytest.mark.parametrize("table", sorted(OWNED))
def test_everything_owned_says_whose_it_is(table: str) -> None:
    assert {"project_id", "created_by", "created_at"} <= set(Base.metadata.tables[table].columns.keys())


def test_the_first_migration_can_be_taken_back(tmp_path: Path) -> None:
    engine = make_engine(f"sqlite:///{tmp_path / 'hone.db'}")
    migrate(engine)
    _move(engine, command.downgrade, "base")
    assert set(inspect(engine).get_table_names()) <= {"alembic_version"}
    engine.dispose()


def _differences(engine: Engine) -> list[Any]:
    with engine.connect() as connection:
        found = compare_metadata(MigrationContext.configure(connection), Base.metadata)
    # SQLAlchemy overlooks the ON DELETE of a key that SQLite got together with its column; what it does is tested below.
    unseen = {"cloned_from"} if engine.dialect.name == "sqlite" else set()
    return [each for each in found if not (each[0] in {"add_fk", "remove_fk"} and set(each[1].column_keys) <= unseen)]


def _move(engine: Engine, move: Callable[[Config, str], None], revision: str) -> None:
    config = _config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        move(config, revision)


def test_runs_of_the_first_schema_keep_everything_and_get_empty_notes(first_schema: Engine) -> None:
    _fill(first_schema)
    migrate(first_schema)
    with Session(first_schema) as session:
        run = session.get_one(Run, "r1")
        assert (run.name, run.spec, run.notes, run.tags, run.cloned_from, run.work_bytes) == ("older", {"a": 1}, "", [], None, 0)
        assert session.get_one(CheckpointRow, "c1").size_bytes == 0
    assert _differences(first_schema) == []


def test_a_dataset_of_the_first_schema_is_one_file_and_its_rows(first_schema: Engine) -> None:
    _fill(first_schema)
    migrate(first_schema)
    with Session(first_schema) as session:
        dataset, other = session.get_one(Dataset, "d1"), session.get_one(Dataset, "d2")
        assert [(file.filename, file.position, file.upload_id) for file in dataset.files] == [("mails.csv", 0, "a2")]
        assert (dataset.report, dataset.version and dataset.version.id, other.files) == ({"rows": 2}, "v1", [])
        assert (dataset.version and dataset.version.findings, session.get_one(Run, "r1").version.dataset_id) == ({}, "d1")
    _move(first_schema, command.downgrade, "0005")
    with first_schema.connect() as connection:
        assert connection.execute(text("SELECT id, upload_id FROM datasets ORDER BY id")).all() == [("d1", "a2"), ("d2", None)]


def test_a_clone_outlives_the_run_it_was_cloned_from(first_schema: Engine) -> None:
    _fill(first_schema)
    migrate(first_schema)
    with first_schema.begin() as connection:
        connection.execute(text("UPDATE runs SET cloned_from = 'r1' WHERE id = 'r2'"))
        connection.execute(text("DELETE FROM checkpoints"))
        connection.execute(text("DELETE FROM runs WHERE id = 'r1'"))
        assert connection.execute(text("SELECT id, cloned_from FROM runs")).all() == [("r2", None)]


@pytest.fixture(params=["sqlite", "postgresql"])
def first_schema(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """A database as the first migration left it, once of each kind."""
    url = f"sqlite:///{tmp_path / 'hone.db'}" if request.param == "sqlite" else _new_postgresql(request.getfixturevalue("postgresql_url"))
    engine = make_engine(url)
    _move(engine, command.upgrade, "0001")
    yield engine
    engine.dispose()


def _new_postgresql(url: str) -> str:
    """Make an empty database beside the one that all tests share; return its address."""
    server = create_engine(url, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text("DROP DATABASE IF EXISTS older"))
        connection.execute(text("CREATE DATABASE older"))
    server.dispose()
    return make_url(url).set(database="older").render_as_string(hide_password=False)


def _fill(engine: Engine) -> None:
    """Put two runs and a checkpoint into a database of the first schema."""
    tables, now = MetaData(), datetime(2026, 1, 1, tzinfo=UTC)
    tables.reflect(engine)
    owned = {"project_id": "p1", "created_at": now}
    work = {
        "status": "queued",
        "reason": "",
        "queue": "gpu",
        "lease_token": 0,
        "attempt": 0,
        "crashes_since_progress": 0,
        "updated_at": 0.0,
    }
    run = owned | work | {"name": "older", "method": "sft", "base_model": "hone-starter", "spec": {"a": 1}, "version_id": "v1", "facts": {}}
    run |= {"step": 0, "total_steps": 1, "checkpoint_step": 0, "priority": 0, "needs_gpu": False}
    blob = owned | {"kind": "rows", "filename": "x", "sha256": "0", "size_bytes": 1}
    dataset = owned | {"name": "x", "status": "ready", "reason": "", "filename": "mails.csv", "report": {"rows": 2}, "updated_at": 0.0}
    version = owned | {"dataset_id": "d1", "number": 1, "rows_id": "a1", "rows": 2, "train_rows": 1, "test_rows": 1}
    checkpoint = owned | {"run_id": "r1", "step": 1, "lease_token": 1, "path": "checkpoints/1-t1", "state": "good"}
    rows = [
        ("projects", {"id": "p1", "name": "mine", "created_at": now}),
        ("artifacts", blob | {"id": "a1"}),
        ("artifacts", blob | {"id": "a2", "kind": "upload"}),
        ("datasets", dataset | {"id": "d1", "upload_id": "a2", "version_id": "v1"}),
        ("datasets", dataset | {"id": "d2"}),
        ("dataset_versions", version | {"id": "v1"}),
        ("runs", run | {"id": "r1"}),
        ("runs", run | {"id": "r2"}),
        ("checkpoints", checkpoint | {"id": "c1"}),
    ]
    with engine.begin() as connection:
        for table, values in rows:
            connection.execute(tables.tables[table].insert().values(values))
