"""Who did what, and when: appended, never changed. Only what Hone has to remember goes, once it is done."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.db.base import Base, IdMixin, utc_now

RUN_DELETED, CHECKPOINTS_DELETED, DATASET_DELETED = "run.deleted", "run.checkpoints_deleted", "dataset.deleted"
FILE_LEFT = "store.file_left"
"""Acts that leave files behind when a crash comes at the wrong moment; the sweep looks for them here.

Under `blobs` their details name what they let go of in the store.
"""
OUTSIDE_ASKED, OUTSIDE_CONTACTED = "outside.asked", "outside.contacted"
"""Somebody had a thing fetched from outside; and the hosts that were spoken to for it."""


class AuditEntry(IdMixin, Base):
    """One act of one person, or a thing that Hone has to remember to finish (`FILE_LEFT`)."""

    __tablename__ = "audit"

    project_id: Mapped[str | None] = mapped_column(ForeignKey("projects.id"), index=True)
    user_id: Mapped[str | None] = mapped_column(ForeignKey("users.id"))
    time: Mapped[datetime] = mapped_column(default=utc_now)
    action: Mapped[str] = mapped_column(String(60))
    subject: Mapped[str | None] = mapped_column(String(100))
    details: Mapped[dict[str, Any]] = mapped_column(default=dict)


def note(session: Session, project_id: str, user_id: str | None, action: str, subject: str | None = None, **details: Any) -> None:
    """Write down who did what."""
    session.add(AuditEntry(project_id=project_id, user_id=user_id, action=action, subject=subject, details=details))
