"""Checkpoints that are real: only a row here makes a folder one."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, ForeignKey, Select, String, select
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from app.db.artifacts import Artifact, drop
from app.db.base import Base, IdMixin, utc_now

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.domain.ports import Storage

GONE = "removed"


class CheckpointRow(IdMixin, Base):
    """A verified checkpoint folder of a run, written under a lease token. `state`: good, corrupt or removed.

    `artifact` is the folder packed into the store, where other machines can take it up; None until it is there.
    """

    __tablename__ = "checkpoints"

    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id"), index=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    step: Mapped[int]
    lease_token: Mapped[int]
    path: Mapped[str] = mapped_column(String(255))
    size_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    state: Mapped[str] = mapped_column(String(10), default="good")
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    artifact_id: Mapped[str | None] = mapped_column(ForeignKey("artifacts.id"))

    artifact: Mapped[Artifact | None] = relationship(foreign_keys=[artifact_id])


def still_there(run_id: str) -> Select[CheckpointRow]:
    """Select the checkpoints of a run that hold anything, broken ones too."""
    return select(CheckpointRow).where(CheckpointRow.run_id == run_id, CheckpointRow.state != GONE)


def let_go(session: Session, rows: Iterable[CheckpointRow], storage: Storage) -> None:
    """Strike off checkpoints, and drop what the store has of them; their folders are the caller's to remove."""
    for row in list(rows):
        row.state, packed, row.artifact = GONE, row.artifact, None
        if packed:
            session.flush()
            drop(session, packed, storage)
