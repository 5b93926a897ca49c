"""Rows of a delimited table, with the physical line each begins on, and without letting one stray quote swallow the rest."""

from __future__ import annotations

import csv
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

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
                return
            if cells is None:
                yield from self._literally()
            elif cells or self._feed.why_unread:
                yield from self._checked(cells)

    def _header(self) -> list[str]:
        cells: list[str] | None = []
        try:
            while cells is not None and not any(cell.strip() for cell in cells) and not self._feed.why_unread:
                cells = self._next_cells()
        except StopIteration:
            return []
        why = self._feed.why_unread
        if why or cells is None or len(cells) > MAX_HEADER_CELLS:
            why = why or (BROKEN_QUOTES if cells is None else f"it names more than {MAX_HEADER_CELLS:,} columns")
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
            cells = next(csv.reader([self._feed.row[0].text], delimiter=self._delimiter))
        except csv.Error:
            return None
        return None if cells[-1].endswith("\n") else cells

    def _literally(self) -> Iterator[RawRow | Problem]:
        """Take a tab-separated line with an open quote as it stands, since such files often know no quoting; set others aside."""
        cells = self._feed.row[0].text.rstrip("\n").split("\t")
        if self._delimiter != "\t" or len(cells) != len(self.columns):
            yield from self._set_aside(BROKEN_QUOTES)
            return
        self._feed.read_again_after_first()
        yield from self._checked(cells)

    def _checked(self, cells: list[str]) -> Iterator[RawRow | Problem]:
        if len(cells) != len(self.columns):
            yield from self._set_aside(f"{_columns(len(cells))} where the header has {len(self.columns)}")
        elif why := self._feed.why_unread:
            yield problem(self._feed.first_line, why)
        elif any("\0" in cell for cell in cells):
            yield problem(self._feed.first_line, "a NUL character")
        else:
            yield RawRow(self._feed.first_line, dict(zip(self.columns, cells, strict=True)))

    def _set_aside(self, why: str) -> Iterator[Problem]:
        """Set the row's first line aside and, if it ran over several, read the others again as rows of their own."""
        self._feed.read_again_after_first()
        yield problem(self._feed.first_line, self._feed.why_unread or why)


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


class _Handed(NamedTuple):
    """A physical line as the csv reader gets it, and why its row cannot be used, if so."""

    number: int
    text: str
    why_unread: str | None = None


class _Feed:
    """Hands physical lines to the csv reader and remembers those of the row being read.

    Lines that cannot be read are handed over too, as well as may be: left out, they would be cut from the middle of a quoted cell, or
    leave the rest of such a cell to be taken for rows.
    """

    def __init__(self, lines: Iterable[Line]) -> None:
        self._lines = iter(lines)
        self._again: deque[_Handed] = deque()
        self.row: list[_Handed] = []
        self._read_again_bytes = self._row_characters = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else _handed(next(self._lines))
        self.row.append(line)
        self._row_characters += len(line.text)
        if self._row_characters > MAX_LINE_BYTES and len(self.row) > 1:
            raise csv.Error(TOO_LONG)
        return line.text

    @property
    def why_unread(self) -> str | None:
        """What keeps a line of the row from being read."""
        for line in self.row:
            if line.why_unread:
                return line.why_unread if line.number == self.first_line else f"on line {line.number}, {line.why_unread}"
        return None

    @property
    def first_line(self) -> int:
        """The line the row begins on."""
        return self.row[0].number

    def begin_row(self) -> None:
        """Forget the lines of the row before."""
        self.row.clear()
        self._row_characters = 0

    def read_again_after_first(self) -> None:
        """Hand over the row's lines after its first once more, within bounds."""
        others = self.row[1:]
        del self.row[1:]
        self._read_again_bytes += sum(len(line.text) for line in others)
        if self._read_again_bytes <= MAX_BYTES_READ_AGAIN:
            self._again.extendleft(reversed(others))


def _handed(line: Line) -> _Handed:
    if line.content is None:
        return _Handed(line.number, "", f"the line is {TOO_LONG}")
    try:
        return _Handed(line.number, line.content.decode() + "\n")
    except UnicodeDecodeError as error:
        why = f"byte 0x{line.content[error.start]:02X} is not UTF-8 (column {error.start + 1})"
        return _Handed(line.number, line.content.decode(errors="replace") + "\n", why)
