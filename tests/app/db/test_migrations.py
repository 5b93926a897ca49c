"""The migrations make exactly the tables the code knows, and can be taken back."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, inspect

from app.db import Base
from app.db.migrate import _config, is_current, migrate
from app.db.session import make_engine

OWNED = {"datasets", "dataset_versions", "imports", "runs", "artifacts", "api_keys"}
NAMED = {"projects", "users", "events", "metric_points", "metric_chunks", "metric_latest", "checkpoints", "workers", "outbox", "audit"}


def test_the_database_is_what_the_tables_say(engine: Engine) -> None:
    assert is_current(engine)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    assert set(inspect(engine).get_table_names()) >= OWNED | NAMED


@pytest.mark.parametrize("table", sorted(OWNED))
def test_everything_owned_says_whose_it_is(table: str) -> None:
    assert {"project_id", "created_by", "created_at"} <= set(Base.metadata.tables[table].columns.keys())


def test_the_first_migration_can_be_taken_back(tmp_path: Path) -> None:
    engine = make_engine(f"sqlite:///{tmp_path / 'hone.db'}")
    migrate(engine)
    config = _config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
    assert set(inspect(engine).get_table_names()) <= {"alembic_version"}
    engine.dispose()
