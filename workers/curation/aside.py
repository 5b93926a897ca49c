"""Rows that were set aside, kept as text beside the dataset, so that a page can show them and a person mend them."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

if TYPE_CHECKING:
    from app.domain.datasets import Problem

MAX_ROWS = 10_000


class AsideWriter:
    """Writes one JSON object a line: {file, line, code, reason, text}; leaves nothing behind unless `finish` was reached."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._file: IO[str] | None = None
        self._rows = 0

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
        return self.path is not None and self._rows < MAX_ROWS

    def copy(self, base: Path | None) -> None:
        """Keep what an earlier version had set aside, if anything, before anything else."""
        if base:
            with base.open(encoding="utf-8") as file:
                for line in file:
                    self._write(line)

    def add(self, problem: Problem, text: str) -> None:
        """Keep a row, while there is room."""
        if self.path is None or not self.has_room:
            return
        self._write(json.dumps(problem.model_dump(mode="json") | {"text": text.replace("\0", "\\0")}) + "\n")

    def _write(self, line: str) -> None:
        if self.path is None:
            return
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._part(self.path).open("w", encoding="utf-8")
        self._file.write(line)
        self._rows += 1

    def finish(self) -> None:
        """Give the file its name, if there were rows."""
        if self.path and self._file:
            self._file.close()
            self._part(self.path).replace(self.path)

    @staticmethod
    def _part(path: Path) -> Path:
        return path.with_name(path.name + ".part")
