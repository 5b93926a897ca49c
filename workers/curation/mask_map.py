"""The map of what masks stand for: it goes along with each change of the rows, so that a version's own tells of all masks in them.

Rows are named by their hash and their number, which change with the rows; a map that stayed as it was would soon name none of them.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import IO, TYPE_CHECKING, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


class Masked(NamedTuple):
    """A row by its hash, and what the masks in it stand for."""

    hashed: str
    masks: dict[str, str]


class MaskMap:
    """Reads the map of the version before, if it has one, and writes the next; without a mask in the rows there is no file."""

    def __init__(self, base: Path | None, out: Path | None) -> None:
        self._out = out
        self._files = ExitStack()
        self._lines = _read(self._files.enter_context(base.open(encoding="utf-8"))) if base else iter(())
        self._next = next(self._lines, None)
        self._file: IO[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()

    def known(self, end: int) -> dict[int, Masked]:
        """Return which rows of the version before, from 0 up to but without `end`, have masks; each is told of once."""
        found: dict[int, Masked] = {}
        while self._next and self._next[0] < end:
            row, masked = self._next
            found[row] = masked
            self._next = next(self._lines, None)
        return found

    def tell(self, rows: Iterable[tuple[int, Masked]]) -> None:
        """Write what masks in rows of the next version stand for, in their order."""
        for row, (hashed, masks) in rows:
            if self._file is None and self._out:
                self._file = self._files.enter_context(self._out.open("w", encoding="utf-8"))
            if self._file:
                # Counted from 1, as people count.
                self._file.write(json.dumps({"hash": hashed, "row": row + 1, "masks": masks}, ensure_ascii=False) + "\n")


def _read(file: IO[str]) -> Iterator[tuple[int, Masked]]:
    for line in file:
        told = json.loads(line)
        yield told["row"] - 1, Masked(told["hash"], told["masks"])
