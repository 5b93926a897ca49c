"""A project's goal, measurements before training, downloads of base models, connections, prices; and what was predicted of a run."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

document = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def _owned(table: str, *columns: sa.Column, touched: bool = False, unique: bool = False) -> None:
    """Create a table of what belongs to a project."""
    op.create_table(
        table,
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=36), nullable=False),
        sa.Column("created_by", sa.String(length=36), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        *columns,
        *([sa.Column("updated_at", sa.Double(), nullable=False)] if touched else []),
        sa.ForeignKeyConstraint(["created_by"], ["users.id"], name=op.f(f"fk_{table}_created_by_users")),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f(f"fk_{table}_project_id_projects")),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{table}")),
        *([sa.UniqueConstraint("project_id", name=op.f(f"uq_{table}_project_id"))] if unique else []),
    )
    op.create_index(op.f(f"ix_{table}_project_id"), table, ["project_id"])
    if touched:
        op.create_index(op.f(f"ix_{table}_updated_at"), table, ["updated_at"])


def _leased() -> list[sa.Column]:
    """Return the columns of work that a worker may hold."""
    return [
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("reason", sa.String(length=2000), nullable=False),
        sa.Column("error_code", sa.String(length=60), nullable=True),
        sa.Column("queue", sa.String(length=20), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("place", sa.BigInteger(), nullable=False),
        sa.Column("needs_gpu", sa.Boolean(), nullable=False),
        sa.Column("lease_owner", sa.String(length=36), nullable=True),
        sa.Column("lease_token", sa.Integer(), nullable=False),
        sa.Column("lease_expires_at", sa.Double(), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("crashes_since_progress", sa.Integer(), nullable=False),
        sa.Column("stalled_at", sa.Double(), nullable=True),
        sa.Column("reports", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("queued_at", sa.DateTime(timezone=True), nullable=False),
    ]


def upgrade() -> None:
    _owned("goals", sa.Column("answers", document, nullable=False), touched=True, unique=True)
    _owned("price_lists", sa.Column("entries", document, nullable=False), touched=True, unique=True)
    _owned(
        "connections",
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("url", sa.String(length=2000), nullable=False),
        sa.Column("model", sa.String(length=300), nullable=False),
        sa.Column("private_allowed", sa.Boolean(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=True),
        sa.Column("secret_key_id", sa.String(length=16), nullable=True),
        sa.Column("hint", sa.String(length=8), nullable=False),
    )
    op.create_index(op.f("ix_connections_kind"), "connections", ["kind"])
    _owned(
        "baselines",
        sa.Column("dataset_id", sa.String(length=36), nullable=False),
        sa.Column("version_id", sa.String(length=36), nullable=False),
        sa.Column("plan", document, nullable=False),
        sa.Column("results", document, nullable=False),
        sa.Column("answers", document, nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("done_before", sa.Integer(), nullable=False),
        *_leased(),
        touched=True,
    )
    op.create_index(op.f("ix_baselines_dataset_id"), "baselines", ["dataset_id"])
    op.create_index(op.f("ix_baselines_status"), "baselines", ["status"])
    _owned(
        "downloads",
        sa.Column("repo", sa.String(length=200), nullable=False),
        sa.Column("revision", sa.String(length=64), nullable=True),
        sa.Column("done_bytes", sa.BigInteger(), nullable=False),
        sa.Column("total_bytes", sa.BigInteger(), nullable=False),
        sa.Column("facts", document, nullable=False),
        *_leased(),
        touched=True,
    )
    op.create_index(op.f("ix_downloads_repo"), "downloads", ["repo"])
    op.create_index(op.f("ix_downloads_status"), "downloads", ["status"])
    op.add_column("runs", sa.Column("estimate", document, nullable=False, server_default="{}"))


def downgrade() -> None:
    op.drop_column("runs", "estimate")
    for table in ("downloads", "baselines", "connections", "price_lists", "goals"):
        op.drop_table(table)
