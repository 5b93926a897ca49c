"""What a run's processes wrote, in the order it was taken in; each piece under the lease token of its attempt."""

from __future__ import annotations

from contextlib import closing
from itertools import groupby

from sqlalchemy import ForeignKey, Text, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.db.base import Base
from app.db.events import SerialId


class LogPiece(Base):
    """A piece of a run's log: whole lines, as many as were there when a worker looked."""

    __tablename__ = "run_log"

    id: Mapped[int] = mapped_column(SerialId, primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id"), index=True)
    lease_token: Mapped[int]
    text: Mapped[str] = mapped_column(Text)


def log_of(session: Session, run_id: str) -> str:
    """Return a run's log, each attempt under a line that says which it is."""
    pieces = session.scalars(select(LogPiece).where(LogPiece.run_id == run_id).order_by(LogPiece.id))
    attempts = groupby(pieces, key=lambda piece: piece.lease_token)
    return "\n".join(f"[attempt {token}]\n" + "".join(piece.text for piece in written) for token, written in attempts)


def end_of_log(session: Session, run_id: str, *, characters: int) -> str:
    """Return the last whole lines of a run's log; of a line that is longer than all of it its end."""
    newest = select(LogPiece.text).where(LogPiece.run_id == run_id).order_by(LogPiece.id.desc())
    found = ""
    with closing(session.scalars(newest.execution_options(yield_per=20))) as pieces:
        for text in pieces:
            found = text + found
            if len(found) > characters:
                end = found[-characters:]
                return end.partition("\n")[2] or end
    return found
