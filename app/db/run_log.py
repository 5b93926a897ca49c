"""What a run's processes wrote, in the order it was taken in; each piece under the lease token of its attempt."""

from __future__ import annotations

from sqlalchemy import ForeignKey, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base
from app.db.events import SerialId


class LogPiece(Base):
    """A piece of a run's log: whole lines, as many as were there when a worker looked."""

    __tablename__ = "run_log"

    id: Mapped[int] = mapped_column(SerialId, primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id"), index=True)
    lease_token: Mapped[int]
    text: Mapped[str] = mapped_column(Text)
