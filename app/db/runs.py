"""Runs: what was asked for, how far it is, what came of it."""

from __future__ import annotations

from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, ForeignKey, String, Text, or_, select
from sqlalchemy.orm import Mapped, Session, mapped_column, object_session, relationship

from app.db.artifacts import Artifact, drop
from app.db.base import Base, IdMixin, OwnedMixin
from app.db.datasets import KEPT_STEPS, DatasetVersion, drop_version, states
from app.db.leases import LeaseMixin
from app.db.webhooks import announce
from app.domain.runs import ENDED, RunStatus
from app.domain.webhooks import OF_STATUS

if TYPE_CHECKING:
    from app.domain.ports import Storage


class Run(IdMixin, OwnedMixin, LeaseMixin, Base):
    """One training a user launched."""

    __tablename__ = "runs"

    name: Mapped[str] = mapped_column(String(200))
    notes: Mapped[str] = mapped_column(Text, default="")
    tags: Mapped[list[Any]] = mapped_column(default=list)
    cloned_from: Mapped[str | None] = mapped_column(ForeignKey("runs.id", ondelete="SET NULL"), index=True)
    method: Mapped[str] = mapped_column(String(20))
    preset: Mapped[str | None] = mapped_column(String(20))
    base_model: Mapped[str] = mapped_column(String(500))
    spec: Mapped[dict[str, Any]]
    version_id: Mapped[str] = mapped_column(ForeignKey("dataset_versions.id"), index=True)
    eval_version_id: Mapped[str | None] = mapped_column(ForeignKey("dataset_versions.id"))
    step: Mapped[int] = mapped_column(default=0)
    total_steps: Mapped[int]
    checkpoint_step: Mapped[int] = mapped_column(default=0)
    facts: Mapped[dict[str, Any]] = mapped_column(default=dict)
    # What was predicted of it when it was launched: memory, time, money (app/domain/estimates.py).
    estimate: Mapped[dict[str, Any]] = mapped_column(default=dict)
    model: Mapped[str | None] = mapped_column(String(300), unique=True)
    # What the run's folder holds beside its checkpoints, as the worker last counted it.
    work_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    adapter_id: Mapped[str | None] = mapped_column(ForeignKey("artifacts.id"))
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]

    version: Mapped[DatasetVersion] = relationship(foreign_keys=[version_id])
    eval_version: Mapped[DatasetVersion | None] = relationship(foreign_keys=[eval_version_id])
    adapter: Mapped[Artifact | None] = relationship(foreign_keys=[adapter_id])

    def move_to(self, status: RunStatus, reason: str = "") -> None:
        """Change the state, if that is legal; whoever wants to hear of an end gets a notice in the same commit."""
        super().move_to(status, reason)
        session = object_session(self)
        if status in ENDED and session is not None:
            model = None if status == RunStatus.CANCELLED else self.model
            content = {"id": self.id, "name": self.name, "status": str(status), "model": model, "url": f"/runs/{self.id}"}
            announce(session, self.project_id, OF_STATUS[status], content)


def forget_model(session: Session, run: Run, storage: Storage) -> None:
    """Drop the model a run has made so far, if any."""
    adapter, run.model, run.adapter = run.adapter, None, None
    if adapter:
        session.flush()
        drop(session, adapter, storage)


def is_used(session: Session, version_id: str) -> bool:
    """Return whether a run names these rows."""
    used = or_(Run.version_id == version_id, Run.eval_version_id == version_id)
    return session.scalar(select(Run.id).where(used).limit(1)) is not None


def forget_rows(session: Session, version_id: str, storage: Storage) -> None:
    """Drop rows that no run names and no dataset can go back to; whoever deletes either, or changes or undoes a change, comes here."""
    session.flush()
    # Locked, and read anew after that: else two who let go at once would each leave them for the other.
    version = session.get_one(DatasetVersion, version_id, with_for_update=True, populate_existing=True)
    dataset = version.dataset
    session.refresh(dataset)
    within_reach = islice(states(session, dataset.version_id), KEPT_STEPS + 1)
    if is_used(session, version_id) or (dataset.deleted_at is None and version in within_reach):
        return
    if dataset.version_id == version_id:
        dataset.version_id = None
    drop_version(session, version, storage)
