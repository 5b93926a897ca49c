"""What a project wants of a tuned model, as its people answered."""

from __future__ import annotations

from typing import Any

from sqlalchemy import UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base, IdMixin, OwnedMixin, TouchedMixin


class GoalRow(IdMixin, OwnedMixin, TouchedMixin, Base):
    """A project's goal; there is one."""

    __tablename__ = "goals"
    __table_args__ = (UniqueConstraint("project_id"),)

    answers: Mapped[dict[str, Any]] = mapped_column(default=dict)
