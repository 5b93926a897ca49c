"""One pass over an uploaded file: from its bytes to conversations, problems, and rows nobody understands yet."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from app.domain.datasets import DatasetFormat, Mapping, Problem, Turn
from app.domain.errors import Invalid
from workers.curation.columns import MISSING, SAMPLE_ROWS, Columns, has_columns, look_up, map_columns, mapped_names
from workers.curation.json_rows import document_rows, jsonl_rows
from workers.curation.rows import RawRow, problem
from workers.curation.shapes import SetAside, UnknownShape, fits_as_table, has_unused_answers, to_turns, with_system
from workers.curation.sniff import Kind, sniff
from workers.curation.source import Source, physical_lines
from workers.curation.table_rows import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_NAMES_TOLD = 30


@dataclass(frozen=True, slots=True)
class Conversation:
    """A usable row."""

    line: int
    turns: list[Turn]
    shape: DatasetFormat
    has_unused_answers: bool = False


@dataclass(frozen=True, slots=True)
class Unknown:
    """A row that fits no known shape and for which there is no mapping."""

    line: int
    keys: tuple[str, ...]


class Reading:
    """Iterate once for what a file holds; its columns fill up meanwhile. StudioError when it cannot be read at all."""

    def __init__(self, path: Path, filename: str, *, mapping: Mapping | None = None, system: str | None = None) -> None:
        self.sniffed = sniff(path, filename)
        self.source = Source(path, self.sniffed.encoding)
        self.columns = Columns()
        self._filename, self._mapping, self._system = filename, mapping, system
        self._missing = set(mapped_names(mapping)) if mapping else set[str]()

    def __iter__(self) -> Iterator[Conversation | Problem | Unknown]:
        for row in self._raw_rows():
            yield self._understood(row) if isinstance(row, RawRow) else row
        if self._missing:
            raise _no_such_column(min(self._missing), self.columns.names)

    def _raw_rows(self) -> Iterable[RawRow | Problem]:
        if self.sniffed.kind is Kind.JSONL:
            return jsonl_rows(physical_lines(self.source.blocks()))
        if self.sniffed.kind is Kind.JSON:
            return document_rows(self.source.blocks())
        if self.sniffed.kind is Kind.TABLE:
            return self._table_rows()
        what = "is plain text without rows Hone could tell apart. Upload JSONL, JSON, or a table with a header as CSV."
        raise Invalid(f"{self._filename[-80:]} {what}", param="file", code="no_rows")

    def _table_rows(self) -> Iterable[RawRow | Problem]:
        table = Table(physical_lines(self.source.blocks()), self.sniffed.delimiter or ",")
        self.columns = Columns(table.columns)
        for name in sorted(self._missing):
            if name not in table.columns:
                raise _no_such_column(name, table.columns)
        if self._mapping:
            return table
        if fits_as_table(table.columns):
            folded = _in_lower_case(table.columns)
            return (_renamed(row, folded) for row in table)
        return islice((row for row in table if isinstance(row, RawRow)), SAMPLE_ROWS)  # it needs a mapping; a look at it is enough

    def _understood(self, row: RawRow) -> Conversation | Problem | Unknown:
        if self._missing:
            self._missing -= {name for name in self._missing if look_up(row.cells, name) is not MISSING}
        try:
            if self._mapping and has_columns(row.cells, self._mapping):
                self.columns.note(row.cells)
                return self._usable(row, DatasetFormat.TABLE, map_columns(row.cells, self._mapping))
            conversation = self._usable(row, *to_turns(row.cells))
        except SetAside as found:
            self.columns.note_keys(row.cells)
            return problem(row.line, str(found))
        except UnknownShape:
            self.columns.note(row.cells)
            return Unknown(row.line, tuple(islice(row.cells, MAX_NAMES_TOLD)))
        self.columns.note_keys(row.cells)
        return conversation

    def _usable(self, row: RawRow, shape: DatasetFormat, turns: list[Turn]) -> Conversation:
        return Conversation(row.line, with_system(turns, self._system), shape, has_unused_answers(row.cells))


def _in_lower_case(columns: list[str]) -> dict[str, str]:
    """Return each column's name in lower case; where several differ in case alone, one that is written so, else the first, has it."""
    taken = set(columns)
    names: dict[str, str] = {}
    for column in columns:
        folded = column.casefold()
        names[column] = column if folded in taken else folded
        taken.add(folded)
    return names


def _renamed(row: RawRow | Problem, names: dict[str, str]) -> RawRow | Problem:
    return RawRow(row.line, {names[name]: cell for name, cell in row.cells.items()}) if isinstance(row, RawRow) else row


def _no_such_column(name: str, there_are: list[str]) -> Invalid:
    shown = ", ".join(there_are[:MAX_NAMES_TOLD]) + (" …" if len(there_are) > MAX_NAMES_TOLD else "")
    return Invalid(f"column {name!r} does not exist; there are: {shown or 'none'}", param="mapping", code="unknown_column")


def not_understood(row: Unknown) -> Problem:
    """Return the problem that a row of unknown shape is among rows that are usable."""
    return problem(row.line, f"it fits no known shape; its keys are: {', '.join(row.keys)}")
