"""What computing costs, as a project has set it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base, IdMixin, OwnedMixin, TouchedMixin


class PriceList(IdMixin, OwnedMixin, TouchedMixin, Base):
    """A project's prices; without a row those that come with Hone hold."""

    __tablename__ = "price_lists"
    __table_args__ = (UniqueConstraint("project_id"),)

    entries: Mapped[dict[str, Any]] = mapped_column(default=dict)
