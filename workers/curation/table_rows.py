"""Rows of a delimited table, with the physical line each begins on, and without letting one stray quote swallow the rest."""

from __future__ import annotations

import csv
from collections import deque
from typing import TYPE_CHECKING

from app.domain.datasets import MAX_LINE_BYTES, Problem
from workers.curation.rows import TOO_LONG, RawRow, column_name, problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from workers.curation.source import Line

MAX_BYTES_READ_AGAIN = 256 * 1024 * 1024
"""Beyond this, lines behind an unclosed quote are given up: a file made of such quotes would else be read over and over."""


class Table:
    """A table whose first row names its columns; iterate for the rows below."""

    def __init__(self, lines: Iterable[Line], delimiter: str) -> None:
        self._feed = _Feed(lines)
        csv.field_size_limit(MAX_LINE_BYTES)
        self._reader = csv.reader(self._feed, delimiter=delimiter)
        self.columns = _distinct(self._header())

    def __iter__(self) -> Iterator[RawRow | Problem]:
        while True:
            self._feed.begin_row()
            try:
                cells = next(self._reader)
            except StopIteration:
                yield from self._feed.problems()
                return
            except csv.Error as error:
                yield from self._feed.problems()
                yield from self._set_aside(str(error))
                continue
            yield from self._feed.problems()
            if cells:
                yield from self._checked(cells)

    def _header(self) -> list[str]:
        self._feed.begin_row()
        for cells in self._reader:
            if any(cell.strip() for cell in cells):
                return cells
            self._feed.begin_row()
        return []

    def _checked(self, cells: list[str]) -> Iterator[RawRow | Problem]:
        if len(cells) != len(self.columns):
            yield from self._set_aside(f"{_columns(len(cells))} where the header has {len(self.columns)}")
        elif self._feed.ended and self._feed.has_open_quote():
            yield from self._set_aside("unexpected end of data")
        elif any("\0" in cell for cell in cells):
            yield problem(self._feed.first_line, "a NUL character")
        else:
            yield RawRow(self._feed.first_line, dict(zip(self.columns, cells, strict=True)))

    def _set_aside(self, why: str) -> Iterator[Problem]:
        """Set the row's first line aside and, if it ran over several, read the others again as rows of their own."""
        several = self._feed.lines_of_row > 1
        yield problem(self._feed.first_line, "a quote is opened and not closed where it should be" if several else why)
        self._feed.read_again_after_first()


def _columns(count: int) -> str:
    return f"{count} column" if count == 1 else f"{count} columns"


def _distinct(names: list[str]) -> list[str]:
    """Return the header's names, each one distinct: unnamed columns by their place, doubled ones numbered."""
    found: list[str] = []
    for place, given in enumerate(names):
        name, count = column_name(given.strip(), place), 2
        while name in found:
            name, count = f"{column_name(given.strip(), place)} ({count})", count + 1
        found.append(name)
    return found


class _Feed:
    """Hands physical lines to the csv reader and remembers those of the row being read."""

    def __init__(self, lines: Iterable[Line]) -> None:
        self._lines = iter(lines)
        self._again: deque[tuple[int, str]] = deque()
        self._row: list[tuple[int, str]] = []
        self._problems: list[Problem] = []
        self._read_again_bytes = 0
        self.ended = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else self._fresh()
        self._row.append(line)
        return line[1]

    def _fresh(self) -> tuple[int, str]:
        for line in self._lines:
            if line.content is None:
                self._problems.append(problem(line.number, f"the line is {TOO_LONG}"))
                continue
            try:
                return line.number, line.content.decode() + "\n"
            except UnicodeDecodeError as error:
                byte = line.content[error.start]
                self._problems.append(problem(line.number, f"byte 0x{byte:02X} is not UTF-8 (column {error.start + 1})"))
        self.ended = True
        raise StopIteration

    @property
    def first_line(self) -> int:
        """The line the row begins on."""
        return self._row[0][0]

    @property
    def lines_of_row(self) -> int:
        """How many physical lines the row spans so far."""
        return len(self._row)

    def begin_row(self) -> None:
        """Forget the lines of the row before."""
        self._row.clear()

    def problems(self) -> list[Problem]:
        """Return, once, the lines that could not be handed over."""
        found, self._problems = self._problems, []
        return found

    def has_open_quote(self) -> bool:
        """Whether the row's quotes do not pair up."""
        return len(self._row) > 1 and sum(text.count('"') for _, text in self._row) % 2 == 1

    def read_again_after_first(self) -> None:
        """Hand over the row's lines after its first once more, within bounds."""
        others = self._row[1:]
        self._read_again_bytes += sum(len(text) for _, text in others)
        if self._read_again_bytes <= MAX_BYTES_READ_AGAIN:
            self._again.extendleft(reversed(others))
