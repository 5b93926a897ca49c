"""Datasets of several files, versions that know what made them and what was found in them, and workers' tasks beside reading."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

document = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def _dataset_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("reason", sa.String(length=2000), nullable=False),
        sa.Column("filename", sa.String(length=255), nullable=False),
        sa.Column("format", sa.String(length=30), nullable=True),
        sa.Column("mapping", document, nullable=True),
        sa.Column("system", sa.Text(), nullable=True),
        sa.Column("report", document, nullable=False),
        sa.Column("version_id", sa.String(length=36), nullable=True),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=36), nullable=False),
        sa.Column("created_by", sa.String(length=36), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
    ]


def upgrade() -> None:
    op.create_table(
        "dataset_files",
        sa.Column("dataset_id", sa.String(length=36), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("filename", sa.String(length=255), nullable=False),
        sa.Column("origin", document, nullable=False),
        sa.Column("upload_id", sa.String(length=36), nullable=True),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=36), nullable=False),
        sa.Column("created_by", sa.String(length=36), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["created_by"], ["users.id"], name=op.f("fk_dataset_files_created_by_users")),
        sa.ForeignKeyConstraint(["dataset_id"], ["datasets.id"], name=op.f("fk_dataset_files_dataset_id_datasets")),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_dataset_files_project_id_projects")),
        sa.ForeignKeyConstraint(["upload_id"], ["artifacts.id"], name=op.f("fk_dataset_files_upload_id_artifacts")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dataset_files")),
        sa.UniqueConstraint("dataset_id", "position", name=op.f("uq_dataset_files_dataset_id_position")),
    )
    op.create_index(op.f("ix_dataset_files_dataset_id"), "dataset_files", ["dataset_id"])
    op.create_index(op.f("ix_dataset_files_project_id"), "dataset_files", ["project_id"])
    # A dataset's own id will do for its only file: ids are unique in their table.
    op.execute(
        "INSERT INTO dataset_files (id, dataset_id, position, filename, origin, upload_id, project_id, created_by, created_at)"
        " SELECT id, id, 0, filename, '{}', upload_id, project_id, created_by, created_at FROM datasets WHERE upload_id IS NOT NULL"
    )
    _drop_upload()
    for name in ("step", "findings"):
        op.add_column("dataset_versions", sa.Column(name, document, nullable=False, server_default="{}"))
    op.add_column("dataset_versions", sa.Column("parent_id", sa.String(length=36), nullable=True))
    op.create_table(
        "version_files",
        sa.Column("version_id", sa.String(length=36), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("artifact_id", sa.String(length=36), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(["artifact_id"], ["artifacts.id"], name=op.f("fk_version_files_artifact_id_artifacts")),
        sa.ForeignKeyConstraint(["version_id"], ["dataset_versions.id"], name=op.f("fk_version_files_version_id_dataset_versions")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_version_files")),
        sa.UniqueConstraint("version_id", "kind", name=op.f("uq_version_files_version_id_kind")),
    )
    op.add_column("imports", sa.Column("task", document, nullable=False, server_default="{}"))


def _drop_upload() -> None:
    if op.get_context().dialect.name != "sqlite":
        op.drop_column("datasets", "upload_id")
        return
    # SQLite drops no column with a foreign key. So the table is made anew, while what points at it is not looked at before the end.
    names = ", ".join(column.name for column in _dataset_columns())
    op.execute("PRAGMA defer_foreign_keys = ON")
    op.execute(f"CREATE TEMPORARY TABLE datasets_before AS SELECT {names} FROM datasets")  # noqa: S608 - names of ours
    op.drop_table("datasets")
    op.create_table(
        "datasets",
        *_dataset_columns(),
        sa.ForeignKeyConstraint(["created_by"], ["users.id"], name=op.f("fk_datasets_created_by_users")),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_datasets_project_id_projects")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_datasets")),
    )
    op.create_index(op.f("ix_datasets_project_id"), "datasets", ["project_id"])
    op.create_index(op.f("ix_datasets_updated_at"), "datasets", ["updated_at"])
    op.execute(f"INSERT INTO datasets ({names}) SELECT {names} FROM datasets_before")  # noqa: S608 - names of ours
    op.drop_table("datasets_before")


def downgrade() -> None:
    op.drop_column("imports", "task")
    op.drop_table("version_files")
    for name in ("parent_id", "findings", "step"):
        op.drop_column("dataset_versions", name)
    upload = sa.ForeignKey("artifacts.id", name=op.f("fk_datasets_upload_id_artifacts"))
    op.add_column("datasets", sa.Column("upload_id", sa.String(length=36), upload, nullable=True), inline_references=True)
    first = "SELECT upload_id FROM dataset_files WHERE dataset_id = datasets.id AND position = 0"
    op.execute(f"UPDATE datasets SET upload_id = ({first})")  # noqa: S608 - names of ours
    op.drop_table("dataset_files")
