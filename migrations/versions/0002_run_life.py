"""Runs get notes, tags and the run they were cloned from; what they hold on disk is counted in rows."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

document = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    # Plain ADD COLUMN on SQLite too: copying `runs`, as batch mode does, would drop a table that others point at.
    op.add_column("runs", sa.Column("notes", sa.Text(), nullable=False, server_default=""))
    op.add_column("runs", sa.Column("tags", document, nullable=False, server_default="[]"))
    clone = sa.ForeignKey("runs.id", name=op.f("fk_runs_cloned_from_runs"), ondelete="SET NULL")
    op.add_column("runs", sa.Column("cloned_from", sa.String(length=36), clone, nullable=True), inline_references=True)
    op.add_column("runs", sa.Column("work_bytes", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("checkpoints", sa.Column("size_bytes", sa.BigInteger(), nullable=False, server_default="0"))
    op.create_index(op.f("ix_runs_cloned_from"), "runs", ["cloned_from"])
    op.create_index(op.f("ix_runs_version_id"), "runs", ["version_id"])


def downgrade() -> None:
    op.drop_index(op.f("ix_runs_version_id"), "runs")
    op.drop_index(op.f("ix_runs_cloned_from"), "runs")
    op.drop_column("checkpoints", "size_bytes")
    # SQLite drops no column with a foreign key, so there the table is copied: possible while no other table points at a run.
    with op.batch_alter_table("runs", schema=None) as batch_op:
        for name in ("work_bytes", "cloned_from", "tags", "notes"):
            batch_op.drop_column(name)
