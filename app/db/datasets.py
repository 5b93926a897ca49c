"""Datasets, their versions, and the imports that make them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import BigInteger, ForeignKey, String, Text, UniqueConstraint, func, select
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.db.artifacts import Artifact, drop
from app.db.base import Base, IdMixin, OwnedMixin, TouchedMixin, utc_now
from app.db.leases import LeaseMixin
from app.domain.datasets import DatasetStatus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.orm import Session

    from app.domain.ports import Storage

FileKind = Literal["findings", "aside", "mask_map"]
KEPT_STEPS = 20
"""How many changes one can go back; older states of the rows that no run has used make room."""


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
    # No foreign key: versions point at their dataset already, and a circle of constraints cannot be created in one go.
    version_id: Mapped[str | None] = mapped_column(String(36))
    deleted_at: Mapped[datetime | None]

    files: Mapped[list[DatasetFile]] = relationship(order_by="DatasetFile.position", cascade="all, delete-orphan")
    version: Mapped[DatasetVersion | None] = relationship(primaryjoin="foreign(Dataset.version_id) == DatasetVersion.id", viewonly=True)


class DatasetFile(IdMixin, OwnedMixin, Base):
    """A file that a dataset is made of: where it came from, and the upload once it is here."""

    __tablename__ = "dataset_files"
    __table_args__ = (UniqueConstraint("dataset_id", "position"),)

    dataset_id: Mapped[str] = mapped_column(ForeignKey("datasets.id"), index=True)
    position: Mapped[int] = mapped_column(default=0)
    filename: Mapped[str] = mapped_column(String(255))
    origin: Mapped[dict[str, Any]] = mapped_column(default=dict)
    upload_id: Mapped[str | None] = mapped_column(ForeignKey("artifacts.id"))

    upload: Mapped[Artifact | None] = relationship(foreign_keys=[upload_id])


class DatasetVersion(IdMixin, OwnedMixin, Base):
    """Rows as they were at a moment. Frozen when a run uses it: then its content never changes.

    `parent_id` is the version it was made from, which undoing goes back to; `step` is what made it; `findings` sums up what a look at
    its rows has found.
    """

    __tablename__ = "dataset_versions"
    __table_args__ = (UniqueConstraint("dataset_id", "number"),)

    dataset_id: Mapped[str] = mapped_column(ForeignKey("datasets.id"), index=True)
    number: Mapped[int] = mapped_column(default=1)
    rows_id: Mapped[str] = mapped_column(ForeignKey("artifacts.id"))
    rows: Mapped[int]
    train_rows: Mapped[int]
    test_rows: Mapped[int]
    frozen_at: Mapped[datetime | None]
    # No foreign key: an earlier version may go, and then nothing is left to go back to.
    parent_id: Mapped[str | None] = mapped_column(String(36))
    step: Mapped[dict[str, Any]] = mapped_column(default=dict)
    findings: Mapped[dict[str, Any]] = mapped_column(default=dict)

    artifact: Mapped[Artifact] = relationship(foreign_keys=[rows_id])
    dataset: Mapped[Dataset] = relationship(foreign_keys=[dataset_id])
    files: Mapped[list[VersionFile]] = relationship(cascade="all, delete-orphan")

    def file(self, kind: FileKind) -> Artifact | None:
        """Return the file of that kind that goes with the rows, if there is one."""
        return next((each.artifact for each in self.files if each.kind == kind), None)


class VersionFile(IdMixin, Base):
    """A file that goes with a version's rows: what was found in each, the rows that were set aside, what masks stand for."""

    __tablename__ = "version_files"
    __table_args__ = (UniqueConstraint("version_id", "kind"),)

    version_id: Mapped[str] = mapped_column(ForeignKey("dataset_versions.id"))
    kind: Mapped[str] = mapped_column(String(20))
    artifact_id: Mapped[str] = mapped_column(ForeignKey("artifacts.id"))

    artifact: Mapped[Artifact] = relationship()


class Import(IdMixin, OwnedMixin, LeaseMixin, Base):
    """One piece of a worker's work on a dataset: to fetch or read its files, to look at its rows, or to change them; `task` says which."""

    __tablename__ = "imports"

    dataset_id: Mapped[str] = mapped_column(ForeignKey("datasets.id"), index=True)
    task: Mapped[dict[str, Any]] = mapped_column(default=dict)
    done_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    total_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    rows_read: Mapped[int] = mapped_column(default=0)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    queued_at: Mapped[datetime] = mapped_column(default=utc_now)

    dataset: Mapped[Dataset] = relationship()

    @property
    def subject_id(self) -> str:
        """Return the dataset: its history tells of this work."""
        return self.dataset_id


def next_number(session: Session, dataset_id: str) -> int:
    """Return the number that a dataset's next version gets."""
    return (session.scalar(select(func.max(DatasetVersion.number)).where(DatasetVersion.dataset_id == dataset_id)) or 0) + 1


def states(session: Session, version_id: str | None) -> Iterator[DatasetVersion]:
    """Yield a version and those it was made from, as far as there are any: what one can go back to, the newest first."""
    while version_id and (version := session.get(DatasetVersion, version_id)):
        yield version
        version_id = version.parent_id


def shared(artifact: Artifact) -> Artifact:
    """Return another entry of the same file, which stays in the store until both are dropped."""
    return Artifact(
        project_id=artifact.project_id, created_by=artifact.created_by, kind=artifact.kind, filename=artifact.filename,
        sha256=artifact.sha256, size_bytes=artifact.size_bytes,
    )  # fmt: skip


def drop_version(session: Session, version: DatasetVersion, storage: Storage) -> None:
    """Forget a version that no run names, with its rows and the files that go with them."""
    left = [version.artifact, *(each.artifact for each in version.files)]
    session.delete(version)
    session.flush()
    for artifact in left:
        drop(session, artifact, storage)


def drop_uploads(session: Session, dataset: Dataset, storage: Storage) -> None:
    """Forget the files a dataset was made of; which they were stays."""
    for file in dataset.files:
        upload, file.upload = file.upload, None
        if upload:
            session.flush()
            drop(session, upload, storage)


def take_back_files(session: Session, dataset: Dataset, first: int, storage: Storage) -> None:
    """Take the files from the `first` on off a dataset again: their rows are not in it."""
    for file in [file for file in dataset.files if file.position >= first]:
        dataset.files.remove(file)
        upload = file.upload
        session.flush()
        if upload:
            drop(session, upload, storage)


def came_to_nothing(session: Session, work: Import, storage: Storage) -> None:
    """Do what belongs to work on a dataset that failed or was called off: a dataset is lost only where it had no rows before."""
    dataset = work.dataset
    if dataset.status == DatasetStatus.IMPORTING:
        dataset.status = DatasetStatus.READY if dataset.version_id else DatasetStatus.FAILED
        dataset.reason = (work.reason or "Reading was called off.") if dataset.status == DatasetStatus.FAILED else ""
    if work.task.get("kind") == "append":
        take_back_files(session, dataset, work.task["first"], storage)
