"""Rows of a delimited table, with the physical line each begins on, and without letting one stray quote swallow the rest."""

from __future__ import annotations

import csv
from collections import deque
from typing import TYPE_CHECKING

from app.domain.datasets import MAX_LINE_BYTES, Problem
from app.domain.errors import Invalid
from workers.curation.rows import TOO_LONG, RawRow, column_name, problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from workers.curation.source import Line

MAX_HEADER_CELLS = 10_000
BROKEN_QUOTES = "a quote is opened and not closed where it should be"
MAX_BYTES_READ_AGAIN = 256 * 1024 * 1024
"""Beyond this, lines behind an unclosed quote are given up: a file made of such quotes would else be read over and over."""


class Table:
    """A table whose first row names its columns; iterate for the rows below."""

    def __init__(self, lines: Iterable[Line], delimiter: str) -> None:
        self._feed = _Feed(lines)
        csv.field_size_limit(MAX_LINE_BYTES)
        self._delimiter = delimiter
        # Strict, since otherwise a quote left open ends at the next one, wherever that is, and two rows become one.
        self._reader = csv.reader(self._feed, delimiter=delimiter, strict=True)
        self.columns = _distinct(self._header())

    def __iter__(self) -> Iterator[RawRow | Problem]:
        while True:
            try:
                cells = self._next_cells()
            except StopIteration:
                yield from self._feed.problems()
                return
            yield from self._feed.problems()
            if cells is None:
                yield from self._literally()
            elif cells:
                yield from self._checked(cells)

    def _header(self) -> list[str]:
        cells: list[str] | None = []
        try:
            while cells is not None and not any(cell.strip() for cell in cells):
                cells = self._next_cells()
        except StopIteration:
            return []
        for unread in self._feed.problems():
            raise Invalid(f"The table's header (line {unread.line}) cannot be read: {unread.reason}.", param="file", code="no_header")
        if cells is None or len(cells) > MAX_HEADER_CELLS:
            why = BROKEN_QUOTES if cells is None else f"it names more than {MAX_HEADER_CELLS:,} columns"
            raise Invalid(f"The table's header (line {self._feed.first_line}) cannot be read: {why}.", param="file", code="no_header")
        return cells

    def _next_cells(self) -> list[str] | None:
        """Return the next row's cells; None when its quotes are broken beyond its own line."""
        self._feed.begin_row()
        try:
            return next(self._reader)
        except csv.Error:
            return self._read_leniently()

    def _read_leniently(self) -> list[str] | None:
        """Return the cells of a single line whose quotes are merely untidy, as in `"so" it goes,1`; None for an open quote."""
        if len(self._feed.row) > 1:
            return None
        try:
            cells = next(csv.reader([self._feed.row[0][1]], delimiter=self._delimiter))
        except csv.Error:
            return None
        return None if cells[-1].endswith("\n") else cells

    def _literally(self) -> Iterator[RawRow | Problem]:
        """Take a tab-separated line with an open quote as it stands, since such files often know no quoting; set others aside."""
        cells = self._feed.row[0][1].rstrip("\n").split("\t")
        if self._delimiter != "\t" or len(cells) != len(self.columns):
            yield from self._set_aside(BROKEN_QUOTES)
            return
        yield from self._checked(cells)
        self._feed.read_again_after_first()

    def _checked(self, cells: list[str]) -> Iterator[RawRow | Problem]:
        if len(cells) != len(self.columns):
            yield from self._set_aside(f"{_columns(len(cells))} where the header has {len(self.columns)}")
        elif any("\0" in cell for cell in cells):
            yield problem(self._feed.first_line, "a NUL character")
        else:
            yield RawRow(self._feed.first_line, dict(zip(self.columns, cells, strict=True)))

    def _set_aside(self, why: str) -> Iterator[Problem]:
        """Set the row's first line aside and, if it ran over several, read the others again as rows of their own."""
        yield problem(self._feed.first_line, why)
        self._feed.read_again_after_first()


def _columns(count: int) -> str:
    return f"{count} column" if count == 1 else f"{count} columns"


def _distinct(names: list[str]) -> list[str]:
    """Return the header's names, each one distinct: unnamed and doubled ones by their place."""
    found: dict[str, None] = {}
    for place, given in enumerate(names):
        name = column_name(given.strip().replace("\0", ""), place)
        while name in found:
            name = f"{name} ({place + 1})"
        found[name] = None
    return list(found)


class _Feed:
    """Hands physical lines to the csv reader and remembers those of the row being read."""

    def __init__(self, lines: Iterable[Line]) -> None:
        self._lines = iter(lines)
        self._again: deque[tuple[int, str]] = deque()
        self.row: list[tuple[int, str]] = []
        self._problems: list[Problem] = []
        self._read_again_bytes = self._row_characters = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else self._fresh()
        self.row.append(line)
        self._row_characters += len(line[1])
        if self._row_characters > MAX_LINE_BYTES and len(self.row) > 1:
            raise csv.Error(TOO_LONG)
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
        raise StopIteration

    @property
    def first_line(self) -> int:
        """The line the row begins on."""
        return self.row[0][0]

    def begin_row(self) -> None:
        """Forget the lines of the row before."""
        self.row.clear()
        self._row_characters = 0

    def problems(self) -> list[Problem]:
        """Return, once, the lines that could not be handed over."""
        found, self._problems = self._problems, []
        return found

    def read_again_after_first(self) -> None:
        """Hand over the row's lines after its first once more, within bounds."""
        others = self.row[1:]
        self._read_again_bytes += sum(len(text) for _, text in others)
        if self._read_again_bytes <= MAX_BYTES_READ_AGAIN:
            self._again.extendleft(reversed(others))
