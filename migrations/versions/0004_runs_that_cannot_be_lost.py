"""The queue gets an order, limits and a hold; runs get their log; checkpoints may lie in the store; what must be counted is counted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

LEASED = ("runs", "imports")


def upgrade() -> None:
    for table in LEASED:
        # Zero for what is there: it comes before everything new, and among itself by id, as before.
        op.add_column(table, sa.Column("place", sa.BigInteger(), nullable=False, server_default="0"))
        op.add_column(table, sa.Column("stalled_at", sa.Double(), nullable=True))
    packed = sa.ForeignKey("artifacts.id", name=op.f("fk_checkpoints_artifact_id_artifacts"))
    op.add_column("checkpoints", sa.Column("artifact_id", sa.String(length=36), packed, nullable=True), inline_references=True)
    op.create_table(
        "queues",
        sa.Column("name", sa.String(length=20), nullable=False),
        sa.Column("slots", sa.Integer(), nullable=True),
        sa.Column("held", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_queues")),
    )
    op.create_table(
        "run_log",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("run_id", sa.String(length=36), nullable=False),
        sa.Column("lease_token", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_run_log_run_id_runs")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run_log")),
    )
    op.create_index(op.f("ix_run_log_run_id"), "run_log", ["run_id"])
    op.create_table(
        "counters",
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_counters")),
    )


def downgrade() -> None:
    for table in ("counters", "run_log", "queues"):
        op.drop_table(table)
    # SQLite drops no column with a foreign key, so there the table is copied: nothing points at checkpoints.
    with op.batch_alter_table("checkpoints", schema=None) as batch_op:
        batch_op.drop_column("artifact_id")
    for table in LEASED:
        op.drop_column(table, "stalled_at")
        op.drop_column(table, "place")
