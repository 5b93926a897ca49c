"""The queues: how much that computes may run at once over all workers, and whether it is held. One without a row has no limit."""

from __future__ import annotations

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base


class QueueRow(Base):
    """What an operator decided about a queue. `slots` None: as many as the workers have; `held`: nothing is taken from it."""

    __tablename__ = "queues"

    name: Mapped[str] = mapped_column(String(20), primary_key=True)
    slots: Mapped[int | None]
    held: Mapped[bool] = mapped_column(default=False)
