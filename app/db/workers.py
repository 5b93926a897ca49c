"""The processes that do the work, and their signs of life."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, String, and_, func
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base, IdMixin, TouchedMixin, database_clock, utc_now
from app.db.leases import LEASE_SECONDS


class WorkerRow(IdMixin, TouchedMixin, Base):
    """One worker process; its id is fresh at every start. `updated_at` is its last sign of life."""

    __tablename__ = "workers"

    host: Mapped[str] = mapped_column(String(255))
    pid: Mapped[int]
    queue: Mapped[str] = mapped_column(String(20))
    device: Mapped[str] = mapped_column(String(100))
    has_gpu: Mapped[bool] = mapped_column(default=False)
    facts: Mapped[dict[str, Any]] = mapped_column(default=dict)
    busy_with: Mapped[str | None] = mapped_column(String(36))
    started_at: Mapped[datetime] = mapped_column(default=utc_now)
    left_at: Mapped[datetime | None]


def is_alive() -> ColumnElement[bool]:
    """Return the condition that a worker has given a sign of life within its lease, and has not left: then what it holds is its own."""
    lease_seconds = func.coalesce(WorkerRow.facts["lease_seconds"].as_float(), LEASE_SECONDS)
    return and_(WorkerRow.left_at.is_(None), WorkerRow.updated_at > database_clock() - lease_seconds)
