"""What happened to a run or a dataset, oldest first; the history people and pages read."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base, utc_now

# SQLite numbers rows by itself only where the key is exactly INTEGER.
SerialId = BigInteger().with_variant(Integer(), "sqlite")


class EventRow(Base):
    """One thing that happened. The id grows, so a reader can ask for what came after."""

    __tablename__ = "events"

    id: Mapped[int] = mapped_column(SerialId, primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    subject_id: Mapped[str] = mapped_column(String(36), index=True)
    time: Mapped[datetime] = mapped_column(default=utc_now)
    type: Mapped[str] = mapped_column(String(40))
    message: Mapped[str] = mapped_column(Text)
    data: Mapped[dict[str, Any]] = mapped_column(default=dict)
    lease_token: Mapped[int | None]
