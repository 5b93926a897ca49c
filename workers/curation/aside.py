"""Rows that were set aside, kept as text beside the dataset, so that a page can show them and a person mend them."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

from app.domain.aside import MAX_BYTES_KEPT, MAX_ROWS_KEPT, Aside, rows_aside

if TYPE_CHECKING:
    from app.domain.datasets import Problem


class AsideWriter:
    """Writes rows that were set aside, each under a number of its own; leaves nothing behind unless `finish` was reached."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.added = Counter[str]()
        self._file: IO[bytes] | None = None
        self._rows = self._bytes = self._last = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
        if self.path:
            self._part(self.path).unlink(missing_ok=True)

    @property
    def has_room(self) -> bool:
        """Whether another row would be kept."""
        return self.path is not None and self._rows < MAX_ROWS_KEPT and self._bytes < MAX_BYTES_KEPT

    def copy(self, base: Path | None) -> None:
        """Keep what an earlier version had set aside, if anything, before anything else."""
        if base:
            with base.open(encoding="utf-8") as file:
                for row in rows_aside(file):
                    self.keep(row)

    def add(self, problem: Problem, text: str, *, is_cut: bool = False) -> None:
        """Keep a row that was not set aside before, while there is room; its number is the next one."""
        if self.has_room:
            self.keep(Aside(number=self._last + 1, **problem.model_dump(), text=text.replace("\0", "\\0"), is_cut=is_cut))
            self.added[problem.code] += 1

    def keep(self, row: Aside) -> None:
        """Keep a row under the number it has."""
        if self.path is None:
            return
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._part(self.path).open("wb")
        self._bytes += self._file.write(_line(row))
        self._rows += 1
        self._last = max(self._last, row.number)

    def finish(self) -> None:
        """Give the file its name, if there were rows."""
        if self.path and self._file:
            self._file.close()
            self._part(self.path).replace(self.path)

    @staticmethod
    def _part(path: Path) -> Path:
        return path.with_name(path.name + ".part")


def _line(row: Aside) -> bytes:
    """Return a row as its file has it: as it is spelt, since escapes make most alphabets three times as long."""
    told = row.model_dump()
    try:
        return f"{json.dumps(told, ensure_ascii=False)}\n".encode()
    except UnicodeEncodeError:  # half a character, which only an escape can hold
        return f"{json.dumps(told)}\n".encode()
