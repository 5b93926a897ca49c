"""Messages to the outside, written in the transaction they speak of and sent after it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base, IdMixin, utc_now


class OutboxEntry(IdMixin, Base):
    """A message to be sent at least once; the receiver tells twins by the id."""

    __tablename__ = "outbox"

    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), index=True)
    topic: Mapped[str] = mapped_column(String(60))
    payload: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    sent_at: Mapped[datetime | None]
