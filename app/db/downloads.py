"""Base models on their way here from the Hub."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, String, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.db.base import Base, IdMixin, OwnedMixin, utc_now
from app.db.leases import LeaseMixin
from app.domain.runs import ENDED, RunStatus


class Download(IdMixin, OwnedMixin, LeaseMixin, Base):
    """One model at one revision: how many of its bytes are here, and what is known of its files (`facts`)."""

    __tablename__ = "downloads"
    waits = True

    repo: Mapped[str] = mapped_column(String(200), index=True)
    revision: Mapped[str | None] = mapped_column(String(64))
    done_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    total_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    facts: Mapped[dict[str, Any]] = mapped_column(default=dict)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    queued_at: Mapped[datetime] = mapped_column(default=utc_now)


def is_wanted_by_another(session: Session, download: Download) -> bool:
    """Return whether another download of the very same model, of whatever project, goes on or stands for its files."""
    same = (Download.repo == download.repo, Download.revision == download.revision, Download.id != download.id)
    wanting = (*(status for status in RunStatus if status not in ENDED), RunStatus.SUCCEEDED)
    return session.scalar(select(Download.id).where(*same, Download.status.in_(wanting)).limit(1)) is not None
