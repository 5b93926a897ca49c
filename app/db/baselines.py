"""What models reach on a dataset's test rows without any training: prompts alone, with examples, with looked-up rows."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base, IdMixin, OwnedMixin, utc_now
from app.db.leases import LeaseMixin


class Baseline(IdMixin, OwnedMixin, LeaseMixin, Base):
    """One measurement: what was asked (`plan`), how far it is, what came of it (`results`; `answers` row by row)."""

    __tablename__ = "baselines"
    waits = True

    # No foreign keys: the figures stay when the rows they were measured on are gone.
    dataset_id: Mapped[str] = mapped_column(String(36), index=True)
    version_id: Mapped[str] = mapped_column(String(36))
    plan: Mapped[dict[str, Any]] = mapped_column(default=dict)
    results: Mapped[dict[str, Any]] = mapped_column(default=dict)
    # What was answered to each row: a page of its own reads it, and lists do without.
    answers: Mapped[dict[str, Any]] = mapped_column(default=dict, deferred=True)
    done: Mapped[int] = mapped_column(default=0)
    total: Mapped[int] = mapped_column(default=0)
    # What was done before `started_at`, when this attempt began to ask, or went on after it had waited (which `reason` says, meanwhile):
    # how long the rest takes is told by what came since.
    done_before: Mapped[int] = mapped_column(default=0)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    queued_at: Mapped[datetime] = mapped_column(default=utc_now)
