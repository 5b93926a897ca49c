"""Bring a database to the schema this version of Hone knows; says how far it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import func, select

from app.db.postgresql import take_time

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection, Engine

LOCK = 0x686F6E65
"""What PostgreSQL knows the turn to migrate by: "hone" in ASCII."""
FOLDER = Path(__file__).resolve().parents[2] / "migrations"


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    return config


def migrate(engine: Engine, before: Callable[[str, str], None] | None = None) -> None:
    """Apply every migration that is missing, in one transaction; `before` is told the old and the new revision of data it is to change.

    On SQLite the transaction holds the writer's lock already, so what `before` copies is exactly what is then changed.
    """
    config = _config()
    scripts = ScriptDirectory.from_config(config)
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            take_time(connection)
            # Two that start at once would both begin; SQLite's transactions wait for each other by themselves.
            connection.execute(select(func.pg_advisory_xact_lock(LOCK)))
        revision, newest = revision_of(connection), scripts.get_current_head()
        is_older = revision in {script.revision for script in scripts.walk_revisions()} - {newest}
        if before and revision and newest and is_older:
            before(revision, newest)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def known_revisions() -> frozenset[str]:
    """Return every schema this version of Hone can bring up to date."""
    return frozenset(script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions())


def is_current(engine: Engine) -> bool:
    """Return whether the database has the newest schema."""
    newest = ScriptDirectory.from_config(_config()).get_current_head()
    with engine.execution_options(reads_only=True).connect() as connection:
        return revision_of(connection) == newest


def revision_of(connection: Connection) -> str | None:
    """Return the database's revision; None where there are no tables yet."""
    return MigrationContext.configure(connection).get_current_revision()
