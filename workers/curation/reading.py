"""One pass over uploaded files: from their bytes to examples, rows to set aside, and rows nobody understands yet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

from app.domain.datasets import DatasetFormat, Example, Mapping
from app.domain.errors import StudioError
from app.domain.examples import SetAside, with_system
from app.domain.exported import is_exported
from app.domain.mapping import absent, apply, has_columns, no_such_column, values_of
from workers.curation.arrow_rows import arrow_rows, parquet_rows
from workers.curation.columns import SAMPLE_ROWS, Columns
from workers.curation.containers import OF_ALL_FILES, Part, Unpacking, UploadedFile
from workers.curation.dialects import Dialect
from workers.curation.encodings import guess_encoding
from workers.curation.fast_json import FAST_BLOCK_BYTES, Lines, Understood, begins_plainly, fast_rows
from workers.curation.json_rows import document_rows, jsonl_rows
from workers.curation.rows import Aside, RawRow
from workers.curation.shapes import UnknownShape, shape_of, to_example
from workers.curation.sniff import FileKind, Sniffed, sniff
from workers.curation.source import Source, physical_lines
from workers.curation.splits import Side, by_names, side_in, side_of
from workers.curation.table_rows import Table
from workers.curation.text_rows import markdown_rows, text_rows
from workers.curation.workbook_rows import Workbook

MAX_NAMES_TOLD = 30
MAX_BYTES = 20 * 2**30
ROWS_BEFORE_A_SHAPE = 50
UNREAD = "the file cannot be read"
Raw = Iterable[RawRow | Aside]


class Misread(Exception):
    """A file that began as UTF-8 is in another encoding: what was read of it is to be read again, presuming nothing."""


@dataclass(frozen=True, slots=True)
class Usable:
    """A row to learn from."""

    line: int
    example: Example
    shape: DatasetFormat
    side: Side | None = None


@dataclass(frozen=True, slots=True)
class Unknown:
    """A row that fits no known shape and for which there is no mapping."""

    line: int
    cells: dict[str, Any]

    def as_aside(self) -> Aside:
        """Return what the row is among rows that are usable."""
        return Aside(self.line, f"it fits no known shape; its keys are: {', '.join(islice(self.cells, MAX_NAMES_TOLD))}", raw=self.cells)


Found = Usable | Understood | Aside | Unknown


@dataclass(slots=True)
class PartCount:
    """How the rows of one file fared."""

    part: Part
    usable: int = 0
    aside: int = 0
    unknown: int = 0


@dataclass(slots=True)
class Doubled:
    """Keys that stood twice in an object: how many rows, and the first of them."""

    count: int = 0
    first: tuple[int, str] = (0, "")

    def note(self, row: RawRow) -> None:
        """Count a row that has such a key."""
        if row.doubled is not None:
            self.count += 1
            self.first = self.first if self.count > 1 else (row.line, row.doubled)

    def told(self) -> str | None:
        """Say what was done about them."""
        if not self.count:
            return None
        rows = "In 1 row a key" if self.count == 1 else f"In {self.count:,} rows a key"
        return f"{rows} stands twice in one object, and the last one counts (line {self.first[0]:,}: {self.first[1][:80]!r})."


@dataclass(slots=True)
class Reading:
    """Iterate once for what files hold, each with its part; columns and notes fill up meanwhile. StudioError when nothing can be read."""

    files: list[UploadedFile]
    scratch: Path
    mapping: Mapping | None = None
    system: str | None = None
    max_bytes: int = MAX_BYTES
    presumes_utf8: bool = False
    """Whether a file that begins as UTF-8 is read as such at once; Misread comes if it is not. Else all of it is looked at first."""
    columns: Columns = field(default_factory=Columns)
    notes: list[str] = field(default_factory=list)
    parts: list[PartCount] = field(default_factory=list)
    sniffed: Sniffed | None = None
    doubled: Doubled = field(default_factory=Doubled)
    size: int = 0
    _before: int = 0
    _share: float = 0.0
    _source: Source | None = None
    _missing: set[str] = field(default_factory=set)
    _is_alone: bool = True

    @property
    def done(self) -> int:
        """How many bytes of the uploads are read, packed as they are."""
        share = self._source.done / max(1, self._source.size) if self._source else self._share
        return min(self.size, self._before + int(share * (self.parts[-1].part.weight if self.parts else 0)))

    def __iter__(self) -> Iterator[tuple[PartCount, Found]]:
        self._missing = set(values_of(self.mapping)) if self.mapping else set()
        unpacking = Unpacking(self.scratch, self.max_bytes)
        for part, rows in self._unpacked(unpacking):
            count = PartCount(part)
            self.parts.append(count)
            self._source, self._share = None, 0.0
            for found in rows:
                yield count, found
            self._before += part.weight
        self.notes += [*unpacking.notes, *([told] if (told := self.doubled.told()) else [])]
        self._check_missing(self.columns.names)

    def _unpacked(self, unpacking: Unpacking) -> Iterator[tuple[Part, Iterable[Found]]]:
        """Yield the files there are, one after the other, each with what is in it; of several uploads one may be past unpacking."""
        sizes = [file.path.stat().st_size for file in self.files]
        self.size = sum(sizes)
        names = [name for file in self.files for name in self._names(unpacking, file)]
        sides, self._is_alone = by_names(names), len(names) == 1
        for place, file in enumerate(self.files):
            self._before = sum(sizes[:place])
            try:
                for part in unpacking.parts(file, place):
                    yield part, self._found(part, sides.get(part.name))
            except StudioError as error:
                if len(self.files) == 1 or error.code in OF_ALL_FILES:
                    raise
                yield Part(file.path, file.filename, place), [_unread(error)]

    def _names(self, unpacking: Unpacking, file: UploadedFile) -> list[str]:
        try:
            return unpacking.names(file)
        except StudioError:
            if len(self.files) == 1:
                raise
            return [file.filename]  # what is wrong with it is told in its place among the others

    def _found(self, part: Part, side: Side | None) -> Iterator[Found]:
        try:
            if part.unread:
                raise part.unread
            at_once = not (self.mapping or self.system or side)
            presumed = "utf-8" if at_once and self.presumes_utf8 and begins_plainly(part.path) else None
            sniffed = sniff(part.path, part.name, presumed)
            self.sniffed = self.sniffed or sniffed
            if at_once and sniffed.kind is FileKind.JSONL:
                yield from self._many_at_a_time(part, sniffed, is_certain=presumed is None)
                return
            for row in self._raw_rows(part, sniffed):
                yield self._understood(row, side) if isinstance(row, RawRow) else row
        except StudioError as error:
            if self._is_alone or error.code == "unknown_column":
                raise
            yield _unread(error)

    def _many_at_a_time(self, part: Part, sniffed: Sniffed, *, is_certain: bool) -> Iterator[Found]:
        """Yield what lines of JSON are, whole blocks at once where their rows are plain."""
        self._source = Source(part.path, sniffed.encoding or "utf-8", FAST_BLOCK_BYTES)
        for found in fast_rows(self._source.blocks(), self._source.size):
            if isinstance(found, Lines):
                if not (is_certain or found.are_utf8) and guess_encoding(part.path) != sniffed.encoding:
                    raise Misread
                is_certain = is_certain or not found.are_utf8
                for row in jsonl_rows(found.numbered()):
                    yield self._understood(row, None) if isinstance(row, RawRow) else row
            else:
                self.columns.note_keys(dict.fromkeys(found.names))
                yield found

    def _raw_rows(self, part: Part, sniffed: Sniffed) -> Raw:
        if sniffed.kind is FileKind.PARQUET:
            return parquet_rows(part.path, self.max_bytes, self._note_share)
        if sniffed.kind is FileKind.ARROW:
            return arrow_rows(part.path, self._note_share)
        if sniffed.kind is FileKind.WORKBOOK:
            return self._workbook_rows(part.path)
        self._source = Source(part.path, sniffed.encoding or "utf-8")
        blocks = self._source.blocks()
        if sniffed.kind is FileKind.JSON:
            return document_rows(blocks, any_object=bool(self.mapping) or part.name.casefold().endswith((".jsonl", ".ndjson")))
        lines = physical_lines(blocks)
        if sniffed.kind is FileKind.TABLE:
            return self._table_rows(Table(lines, sniffed.dialect or Dialect()))
        return {FileKind.JSONL: jsonl_rows, FileKind.TEXT: text_rows, FileKind.MARKDOWN: markdown_rows}[sniffed.kind](lines)

    def _note_share(self, share: float) -> None:
        self._share = share

    def _workbook_rows(self, path: Path) -> Raw:
        with path.open("rb") as file:
            book = Workbook(file)
            yield from self._under_header(book.columns, book)
            if note := book.note():
                self.notes.append(note)

    def _table_rows(self, table: Table) -> Raw:
        yield from self._under_header(table.columns, table)
        if told := table.spilled.told():
            self.notes.append(told)

    def _under_header(self, columns: list[str], rows: Raw) -> Raw:
        """Yield a table's rows: all of them where they are understood, and a look at them where they need a mapping first."""
        self.columns.begin(columns)
        if self.mapping:
            if self._is_alone:
                self._missing = {value for value in self._missing if absent(dict.fromkeys(columns), value)}
                self._check_missing(columns)
            yield from rows
            return
        folded = _in_lower_case(columns)
        rest = iter(rows)
        head = list(islice(rest, ROWS_BEFORE_A_SHAPE))
        first = next((row.cells for row in head if isinstance(row, RawRow)), dict.fromkeys(columns, ""))
        head_row = {folded[name]: cell for name, cell in first.items()}
        if is_exported(head_row) or shape_of(head_row):
            yield from (_renamed(row, folded) for row in chain(head, rest))
        elif self._is_alone:
            yield from islice((row for row in chain(head, rest) if isinstance(row, RawRow)), SAMPLE_ROWS)
        else:
            yield from chain(head, rest)

    def _understood(self, row: RawRow, side: Side | None) -> Found:
        self.doubled.note(row)
        if self._missing:
            self._missing = {value for value in self._missing if absent(row.cells, value)}
        try:
            if self.mapping and has_columns(row.cells, self.mapping):
                self.columns.note(row.cells)
                shape, example = DatasetFormat.TABLE, apply(self.mapping, row.cells)
            else:
                shape, example = to_example(row.cells)
        except SetAside as found:
            self.columns.note_keys(row.cells)
            return Aside(row.line, str(found), found.code, raw=row.cells)
        except UnknownShape:
            self.columns.note(row.cells)
            return Unknown(row.line, row.cells)
        self.columns.note_keys(row.cells)
        example = example._replace(turns=with_system(example.turns, self.system))
        return Usable(row.line, example, shape, side_in(row.cells) or side_of(row.side) or side)

    def _check_missing(self, columns: list[str]) -> None:
        if self._missing:
            value = min(self._missing)
            raise no_such_column((absent(dict.fromkeys(columns), value) or [value])[0], columns)


def _unread(error: StudioError) -> Aside:
    return Aside(1, f"{UNREAD}: {error.message}")


def _in_lower_case(columns: list[str]) -> dict[str, str]:
    """Return each column's name in lower case; where several differ in case alone, one that is written so, else the first, has it."""
    taken = set(columns)
    names: dict[str, str] = {}
    for column in columns:
        folded = column.casefold()
        names[column] = column if folded in taken else folded
        taken.add(folded)
    return names


def _renamed(row: RawRow | Aside, names: dict[str, str]) -> RawRow | Aside:
    return RawRow(row.line, {names[name]: cell for name, cell in row.cells.items()}) if isinstance(row, RawRow) else row
