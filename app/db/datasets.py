"""Datasets, their versions, and the imports that make them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.db.artifacts import Artifact
from app.db.base import Base, IdMixin, OwnedMixin, TouchedMixin, utc_now
from app.db.leases import LeaseMixin
from app.domain.datasets import DatasetStatus


class Dataset(IdMixin, OwnedMixin, TouchedMixin, Base):
    """Examples a person brought: the upload, how it was read, and the version that came of it."""

    __tablename__ = "datasets"

    name: Mapped[str] = mapped_column(String(200))
    status: Mapped[str] = mapped_column(String(20), default=DatasetStatus.IMPORTING)
    reason: Mapped[str] = mapped_column(String(2000), default="")
    filename: Mapped[str] = mapped_column(String(255))
    format: Mapped[str | None] = mapped_column(String(30))
    mapping: Mapped[dict[str, Any] | None]
    system: Mapped[str | None] = mapped_column(Text)
    report: Mapped[dict[str, Any]] = mapped_column(default=dict)
    upload_id: Mapped[str | None] = mapped_column(ForeignKey("artifacts.id"))
    # No foreign key: versions point at their dataset already, and a circle of constraints cannot be created in one go.
    version_id: Mapped[str | None] = mapped_column(String(36))
    deleted_at: Mapped[datetime | None]

    upload: Mapped[Artifact | None] = relationship(foreign_keys=[upload_id])
    version: Mapped[DatasetVersion | None] = relationship(primaryjoin="foreign(Dataset.version_id) == DatasetVersion.id", viewonly=True)


class DatasetVersion(IdMixin, OwnedMixin, Base):
    """Rows as they were at a moment. Frozen when a run uses it: then its content never changes."""

    __tablename__ = "dataset_versions"
    __table_args__ = (UniqueConstraint("dataset_id", "number"),)

    dataset_id: Mapped[str] = mapped_column(ForeignKey("datasets.id"), index=True)
    number: Mapped[int] = mapped_column(default=1)
    rows_id: Mapped[str] = mapped_column(ForeignKey("artifacts.id"))
    rows: Mapped[int]
    train_rows: Mapped[int]
    test_rows: Mapped[int]
    frozen_at: Mapped[datetime | None]

    artifact: Mapped[Artifact] = relationship(foreign_keys=[rows_id])
    dataset: Mapped[Dataset] = relationship(foreign_keys=[dataset_id])


class Import(IdMixin, OwnedMixin, LeaseMixin, Base):
    """One reading of an upload by a worker."""

    __tablename__ = "imports"

    dataset_id: Mapped[str] = mapped_column(ForeignKey("datasets.id"), index=True)
    done_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    total_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    rows_read: Mapped[int] = mapped_column(default=0)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    queued_at: Mapped[datetime] = mapped_column(default=utc_now)

    dataset: Mapped[Dataset] = relationship()
