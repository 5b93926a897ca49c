"""A run's log on its way into the database, where pages of any machine can read it: whole lines, and never without bound."""

from __future__ import annotations

import os
from collections import deque
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy import delete, update

from app.db import LogPiece, Run
from app.db.session import after_commit, unit_of_work
from app.domain.runs import LEASED

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sqlalchemy.orm import Session

    from workers.worker import Worker

FIRST_BYTES, NEWEST_BYTES = 64 * 2**10, 2**20
"""So much of an attempt's beginning is kept, and so much of what it wrote last."""
FILE_BYTES = 8 * 2**20
"""A longer file is emptied: what counts of it has been taken."""
LEFT_OUT = "\n[… what stood here was left out …]\n"


class LogTail:
    """Takes over what a run writes on this machine.

    How far the file was taken stands in one beside it: what a killed worker did not come to take, often the reason of its end, is taken
    by whoever is next. A crash between a commit and that file, or a commit whose answer is lost, makes some lines appear twice
    rather than not at all.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._place = path.with_suffix(".taken")
        self._begin = self._size()
        """Where this attempt begins; what stands before was written by an earlier one."""
        place = self._read_place()
        self._taken = place if place <= self._begin else 0
        self._first = 0
        self._newest: deque[tuple[int, int]] = deque()
        self._has_gap = False

    def has_more(self) -> bool:
        """Return whether something was written since the last look."""
        return self._size() != self._taken

    def take(self, session: Session, run: Run, *, to_the_end: bool) -> None:
        """Enter what is new, up to the last whole line; the lease is held, and only the commit makes it taken."""
        size = self._size()
        if size < self._taken:
            self._begin = self._taken = 0
        self.take_earlier(session, run.id, run.lease_token - 1)
        found, end = self._look(max(self._taken, self._begin), size, to_the_end=to_the_end)
        if not found:
            return
        piece = _enter(session, run.id, run.lease_token, found)
        old = self._too_old(len(found))
        if old:
            self._drop(session, old)
        after_commit(session, partial(self._note, piece, len(found), end, len(old)))

    def take_earlier(self, session: Session, run_id: str, token: int) -> None:
        """Enter what nobody took of earlier attempts, under the token of the last one."""
        if self._taken < self._begin:
            found, end = self._look(self._taken, self._begin, to_the_end=True)
            _enter(session, run_id, token, found)
            after_commit(session, partial(self._move_to, end))

    def _size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def _read_place(self) -> int:
        with suppress(OSError, ValueError):
            return int(self._place.read_text(encoding="ascii"))
        return 0

    def _look(self, begin: int, size: int, *, to_the_end: bool) -> tuple[bytes, int]:
        """Return what stands there, and where in the file it ends; of very much only the newest part."""
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
        self._has_gap |= dropped > 0
        for _ in range(dropped):
            self._newest.popleft()
        if self._first < FIRST_BYTES:
            self._first += size
        else:
            self._newest.append((piece, size))
        if end > FILE_BYTES and end == self._size():
            # The child appends, so it goes on at the new end.
            os.truncate(self.path, 0)
            self._begin = end = 0
        self._move_to(end)

    def _move_to(self, place: int) -> None:
        self._taken = place
        with suppress(OSError):  # a full disk: then some lines may appear twice
            self._place.write_text(str(place), encoding="ascii")


def _enter(session: Session, run_id: str, token: int, found: bytes) -> int:
    # PostgreSQL has no place for a zero byte in a text.
    text = found.decode("utf-8", "replace").replace("\0", "\N{REPLACEMENT CHARACTER}")
    piece = LogPiece(run_id=run_id, lease_token=token, text=text)
    session.add(piece)
    session.flush()
    return piece.id


def take_untaken(worker: Worker) -> None:
    """Enter what runs wrote on this machine and nobody took: their worker was killed, or of a version that left logs where they lay."""
    for path in worker.settings.runs.glob("*/log.txt"):
        if LogTail(path).has_more():
            with unit_of_work(worker.engine) as session:
                run = session.get(Run, path.parent.name, with_for_update=True)
                if run and run.status not in LEASED:  # else its holder takes it
                    # Anew: another worker may have been quicker.
                    LogTail(path).take_earlier(session, run.id, run.lease_token)
