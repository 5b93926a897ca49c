"""A run's log on its way into the database, where pages of any machine can read it: whole lines, and never without bound."""

from __future__ import annotations

import os
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy import delete, update

from app.db import LogPiece
from app.db.session import after_commit

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sqlalchemy.orm import Session

    from app.db import Run

FIRST_BYTES, NEWEST_BYTES = 64 * 2**10, 2**20
"""So much of an attempt's beginning is kept, and so much of what it wrote last."""
FILE_BYTES = 8 * 2**20
"""A longer file is emptied: what counts of it has been taken."""
LEFT_OUT = "\n[… what stood here was left out …]\n"


class LogTail:
    """Takes over what one attempt writes, and knows itself what it has taken."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._taken = self._size()
        self._first = 0
        self._newest: deque[tuple[int, int]] = deque()
        self._has_gap = False

    def has_more(self) -> bool:
        """Return whether something was written since the last look."""
        return self._size() != self._taken

    def take(self, session: Session, run: Run, *, to_the_end: bool) -> None:
        """Enter what is new, up to the last whole line; the lease is held, and only the commit makes it taken."""
        found, end = self._look(to_the_end=to_the_end)
        if not found:
            return
        # PostgreSQL has no place for a zero byte in a text.
        text = found.decode("utf-8", "replace").replace("\0", "\N{REPLACEMENT CHARACTER}")
        piece = LogPiece(run_id=run.id, lease_token=run.lease_token, text=text)
        session.add(piece)
        session.flush()
        old = self._too_old(len(found))
        self._drop(session, old)
        after_commit(session, partial(self._note, piece.id, len(found), end, len(old)))

    def _size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def _look(self, *, to_the_end: bool) -> tuple[bytes, int]:
        """Return what is new, and where in the file it ends; of very much only the newest part."""
        size = self._size()
        begin = self._taken if self._taken <= size else 0
        if size == begin:
            return b"", begin
        skipped = max(0, size - begin - NEWEST_BYTES)
        with self.path.open("rb") as file:
            file.seek(begin + skipped)
            found = file.read(size - begin - skipped)
        if not to_the_end and len(found) < NEWEST_BYTES:
            found = found[: found.rfind(b"\n") + 1]
        end = begin + skipped + len(found)
        return (LEFT_OUT.encode() + found if skipped else found), end

    def _too_old(self, arriving: int) -> list[int]:
        """Return which pieces make room for the newest."""
        kept, old = arriving + sum(size for _, size in self._newest), []
        for piece, size in self._newest:
            if kept <= NEWEST_BYTES:
                break
            old.append(piece)
            kept -= size
        return old

    def _drop(self, session: Session, pieces: Sequence[int]) -> None:
        marks = 0 if self._has_gap else 1
        session.execute(update(LogPiece).where(LogPiece.id.in_(pieces[:marks])).values(text=LEFT_OUT))
        session.execute(delete(LogPiece).where(LogPiece.id.in_(pieces[marks:])))

    def _note(self, piece: int, size: int, end: int, dropped: int) -> None:
        self._taken = end
        self._has_gap |= dropped > 0
        for _ in range(dropped):
            self._newest.popleft()
        if self._first < FIRST_BYTES:
            self._first += size
        else:
            self._newest.append((piece, size))
        if self._taken > FILE_BYTES:
            # The child appends, so it goes on at the new end.
            os.truncate(self.path, 0)
            self._taken = 0
