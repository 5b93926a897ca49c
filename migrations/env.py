"""Run by Alembic: brings a database to the newest schema over the connection it is handed."""

from __future__ import annotations

from alembic import context

from app.db import Base

connection = context.config.attributes["connection"]
# SQLite cannot alter a column in place; batch mode copies the table.
context.configure(
    connection=connection, target_metadata=Base.metadata, render_as_batch=connection.dialect.name == "sqlite", compare_type=True
)
with context.begin_transaction():
    context.run_migrations()
