"""Rows of an Excel workbook: its first sheet that has any, cells as people wrote them, formulas as what they came to."""

from __future__ import annotations

import io
import zipfile
from contextlib import contextmanager
from datetime import date, datetime, time
from itertools import chain, islice
from typing import IO, TYPE_CHECKING, Any
from xml.etree.ElementTree import ParseError

from app.domain.errors import Invalid
from workers.curation.containers import DAMAGED, FREE_BYTES, MAX_RATIO, is_the_disk
from workers.curation.dialects import looks_like_a_row
from workers.curation.rows import Aside, RawRow
from workers.curation.table_rows import distinct_names

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_UNPACKED_BYTES = 1024**3
MAX_SHARED_BYTES = 256 * 1024 * 1024
"""Texts that several cells share are held in memory."""
ROWS_LOOKED_AT = 50
EXACT_DIGITS = 15
BROKEN = (*DAMAGED, KeyError, TypeError, AttributeError, IndexError, ParseError, RuntimeError)
"""What the reader of workbooks raises for files that are none."""
Cells = list[str]


class Workbook:
    """An open workbook: the columns of its first sheet with rows, and these."""

    def __init__(self, file: IO[bytes]) -> None:
        import openpyxl

        with _in_words():
            _check_size(file)
            self._book = openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)
            self.sheet, self._rows = self._first_with_rows()
            first = list(islice(self._rows, ROWS_LOOKED_AT))
        head = _without_title(first)
        self.has_header = bool(head) and not looks_like_a_row(head[0][1], [cells for _, cells in head[1:]])
        width = max((len(cells) for _, cells in head), default=0)
        self.columns = distinct_names(head[0][1] if self.has_header else [""] * width)
        self._rows = chain(head[self.has_header :], self._rows)

    def __iter__(self) -> Iterator[RawRow | Aside]:
        with _in_words():
            for number, cells in self._rows:
                if len(cells) > len(self.columns):
                    yield Aside(number, f"{len(cells)} cells where the header has {len(self.columns)}", raw="\t".join(cells))
                else:
                    padded = cells + [""] * (len(self.columns) - len(cells))
                    yield RawRow(number, dict(zip(self.columns, padded, strict=True)))

    def note(self) -> str | None:
        """Say which sheet was read, if there are others."""
        others = [name for name in self._book.sheetnames if name != self.sheet]
        return f"Only the sheet {self.sheet!r} was read; there are others: {', '.join(others)[:200]}." if others else None

    def _first_with_rows(self) -> tuple[str, Iterator[tuple[int, Cells]]]:
        for sheet in self._book.worksheets:
            sheet.reset_dimensions()  # what a file says of its size need not be true
            rows = _filled(sheet)
            if first := next(rows, None):
                return sheet.title, chain([first], rows)
        raise Invalid("The workbook has no rows.", param="file", code="no_rows")


def _filled(sheet: Any) -> Iterator[tuple[int, Cells]]:
    for number, row in enumerate(sheet.iter_rows(values_only=True), 1):
        cells = [_as_written(value) for value in row]
        while cells and not cells[-1].strip():
            cells.pop()
        if cells:
            yield number, cells


def _as_written(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.{EXACT_DIGITS}g}"
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time() else value.isoformat(" ")
    return value.isoformat() if isinstance(value, date | time) else str(value).replace("_x000D_", "").replace("\0", "")


def _without_title(rows: list[tuple[int, Cells]]) -> list[tuple[int, Cells]]:
    """Leave out lone cells above a table, which are its title and no header."""
    start = next((place for place, (_, cells) in enumerate(rows) if sum(map(bool, cells)) > 1), 0)
    return rows[start:]


def _check_size(file: IO[bytes]) -> None:
    with zipfile.ZipFile(file) as archive:
        sizes = {member.filename: member.file_size for member in archive.infolist()}
    size = file.seek(0, io.SEEK_END)
    unpacked = sum(sizes.values())
    shared = max((size for name, size in sizes.items() if name.casefold().endswith("sharedstrings.xml")), default=0)
    is_bomb = unpacked > FREE_BYTES and unpacked > MAX_RATIO * size
    if is_bomb or unpacked > MAX_UNPACKED_BYTES or shared > MAX_SHARED_BYTES:
        message = f"The workbook unpacks to {unpacked:,} bytes, more than can be read. Save the sheet as CSV (UTF-8) and upload that."
        raise Invalid(message, param="file", code="bomb")


@contextmanager
def _in_words() -> Iterator[None]:
    try:
        yield
    except BROKEN as error:
        if is_the_disk(error):
            raise
        message = "The workbook is damaged, or no Excel workbook at all. Save it again as .xlsx, or its sheet as CSV (UTF-8)."
        raise Invalid(message, param="file", code="damaged") from None
