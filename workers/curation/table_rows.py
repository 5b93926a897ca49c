"""Rows of a delimited table, with the physical line each begins on, and without letting one stray quote swallow the rest."""

from __future__ import annotations

import csv
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from app.domain.datasets import MAX_LINE_BYTES
from app.domain.errors import Invalid
from workers.curation.dialects import Dialect
from workers.curation.rows import TOO_LONG, Aside, RawRow, column_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from workers.curation.source import Line

MAX_HEADER_CELLS = 10_000
BROKEN_QUOTES = "a quote is opened and not closed where it should be"
MAX_LINES_TOLD = 10
MAX_BYTES_READ_AGAIN = 256 * 1024 * 1024
"""Beyond this, lines behind an unclosed quote are given up: a file made of such quotes would else be read over and over."""


class Table:
    """A table whose first row names its columns, unless its dialect says otherwise; iterate for the rows."""

    def __init__(self, lines: Iterable[Line], dialect: Dialect) -> None:
        self._feed = _Feed(lines, dialect)
        csv.field_size_limit(MAX_LINE_BYTES)
        self._dialect = dialect
        # Strict, since otherwise a quote left open ends at the next one, wherever that is, and two rows become one.
        self._reader = dialect.reader(self._feed, strict=True)
        first = self._header()
        self.columns = distinct_names(first if dialect.has_header else [""] * len(first))
        self._first = None if dialect.has_header else first
        named = [place for place, name in enumerate(first, 1) if name.strip()]
        self.spilled = Spilled(max(named, default=0) if dialect.has_header else len(first), len(first))

    def __iter__(self) -> Iterator[RawRow | Aside]:
        if self._first:
            yield from self._checked(self._first)
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
            return list(next(self._reader))
        except csv.Error:
            return self._read_leniently()

    def _read_leniently(self) -> list[str] | None:
        """Return the cells of a single line whose quotes are merely untidy, as in `"so" it goes,1`; None for an open quote."""
        if len(self._feed.row) > 1:
            return None
        try:
            cells = next(self._dialect.reader([self._feed.row[0].text]))
        except csv.Error:
            return None
        return None if not cells or cells[-1].endswith("\n") else list(cells)

    def _literally(self) -> Iterator[RawRow | Aside]:
        """Take a tab-separated line with an open quote as it stands, since such files often know no quoting; set others aside."""
        cells = self._feed.row[0].text.rstrip("\n").split("\t")
        if self._dialect.delimiter != "\t" or len(cells) != len(self.columns):
            yield from self._set_aside(BROKEN_QUOTES)
            return
        self._feed.read_again_after_first()
        yield from self._checked(cells)

    def _checked(self, cells: list[str]) -> Iterator[RawRow | Aside]:
        if len(cells) != len(self.columns):
            yield from self._set_aside(f"{_columns(len(cells))} where the header has {len(self.columns)}", cells)
        elif why := self._feed.why_unread:
            yield Aside(self._feed.first_line, why, raw=self._named(cells))
        elif any("\0" in cell for cell in cells):
            yield Aside(self._feed.first_line, "a NUL character", raw=self._named(cells))
        else:
            self.spilled.note(self._feed.first_line, cells)
            yield RawRow(self._feed.first_line, dict(zip(self.columns, cells, strict=True)))

    def _named(self, cells: list[str]) -> dict[str, str]:
        """Return cells under their columns, however many there are, so that a person can put them right."""
        names = [*self.columns, *(column_name("", place) for place in range(len(self.columns), len(cells)))]
        return dict(zip(names, [*cells, *[""] * (len(names) - len(cells))], strict=True))

    def _set_aside(self, why: str, cells: list[str] | None = None) -> Iterator[Aside]:
        """Set the row's first line aside and, if it ran over several, read the others again as rows of their own."""
        raw = self._named(cells if cells and len(self._feed.row) == 1 else [self._feed.row[0].text.rstrip("\n")])
        self._feed.read_again_after_first()
        yield Aside(self._feed.first_line, self._feed.why_unread or why, raw=raw)


class Spilled:
    """Rows that run over into columns without a name, which were cut where their text holds the delimiter."""

    def __init__(self, named: int, width: int) -> None:
        self._named, self._width = named, width
        self._count = self._furthest_count = 0
        self._lines: list[int] = []
        self._furthest: list[int] = []

    def note(self, line: int, cells: list[str]) -> None:
        """Remember a row if it runs over."""
        if self._named == self._width or not any(cells[self._named :]):
            return
        self._count += 1
        self._furthest_count += bool(cells[-1])
        if len(self._lines) < MAX_LINES_TOLD:
            self._lines.append(line)
        if cells[-1] and len(self._furthest) < MAX_LINES_TOLD:
            self._furthest.append(line)

    def told(self) -> str | None:
        """Say how many there are and where, those that run furthest first."""
        if not self._count:
            return None
        rows = "1 row spills" if self._count == 1 else f"{self._count:,} rows spill"
        furthest = f", {self._furthest_count:,} of them as far as the last ({_lines(self._furthest, self._furthest_count)})"
        more = furthest if self._furthest_count and self._width > self._named + 1 else ""
        where = _lines(self._lines, self._count)
        return f"{rows} over into columns that have no name ({where}){more}. Their text was cut there, and what is behind is not used."


def _lines(lines: list[int], count: int) -> str:
    shown = ", ".join(f"{line:,}" for line in lines)
    return f"line {shown}" if count == 1 else f"lines {shown}" + (" …" if count > len(lines) else "")


def _columns(count: int) -> str:
    return f"{count} column" if count == 1 else f"{count} columns"


def distinct_names(names: list[str]) -> list[str]:
    """Return the names of a header, each one distinct: unnamed and doubled ones by their place."""
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

    def __init__(self, lines: Iterable[Line], dialect: Dialect) -> None:
        self._lines = iter(lines)
        self._dialect = dialect
        self._again: deque[_Handed] = deque()
        self.row: list[_Handed] = []
        self._read_again_bytes = self._row_characters = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else _handed(next(self._lines), self._dialect)
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


def _handed(line: Line, dialect: Dialect) -> _Handed:
    if line.content is None:
        return _Handed(line.number, "", f"the line is {TOO_LONG}")
    try:
        return _Handed(line.number, dialect.plain(line.content.decode()) + "\n")
    except UnicodeDecodeError as error:
        why = f"byte 0x{line.content[error.start]:02X} is not UTF-8 (column {error.start + 1})"
        return _Handed(line.number, line.content.decode(errors="replace") + "\n", why)
