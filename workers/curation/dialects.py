"""How a table is written: what parts its cells, how they are quoted, and whether its first line names them."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

from app.domain.guessing import KNOWN_NAMES

DELIMITERS = (",", "\t", ";", "|")
ROWS_LOOKED_AT = 200
MIN_STEADY_SHARE = 0.6
MIN_WIDTH = 2
NUMBER = re.compile(r"\s*[-+]?\d[\d.,]*\s*")
YEAR = re.compile(r"(?:19|20)\d\d")
LONGEST_NAME = 80
MOSTLY = 0.9
ROWS_TO_TELL_A_HEADER = 3
ESCAPED = re.compile(r"\\([\"'\\])")


@dataclass(frozen=True, slots=True)
class Dialect:
    r"""A table's way of writing; `backslash`: quotes inside cells are written \" and not doubled."""

    delimiter: str = ","
    quote: str = '"'
    backslash: bool = False
    has_header: bool = True

    def reader(self, lines: Any, *, strict: bool = False) -> Any:
        """Return a csv reader of lines that went through `plain`."""
        return csv.reader(lines, delimiter=self.delimiter, quotechar=self.quote, strict=strict)

    def plain(self, text: str) -> str:
        """Return text whose quotes inside cells are doubled, as the csv reader knows them."""
        if not self.backslash or "\\" not in text:
            return text
        return ESCAPED.sub(lambda found: self.quote * 2 if found[1] == self.quote else found[1] if found[1] == "\\" else found[0], text)


def find_dialect(head: str, *, certainly: bool = False) -> Dialect | None:
    """Return the dialect that gives the first row and most others the same number of cells, at least two; None without one.

    `certainly`: all rows have to, since a page of prose may have a comma in many of its lines.
    """
    scored = []
    for place, delimiter in enumerate(DELIMITERS):
        plain = Dialect(delimiter)
        for rank, dialect in enumerate((plain, replace(plain, backslash=True), replace(plain, quote="'"))):
            if (
                (rank == 0 or _shows(head, dialect))
                and (rows := _rows(head, dialect))
                and (score := _steadiness(rows, 1.0 if certainly else MIN_STEADY_SHARE))
            ):
                scored.append((*score, _tidiness(rows, dialect), -place, -rank, dialect, rows))
    if not scored:
        return None
    *_, dialect, rows = max(scored, key=lambda each: each[:-2])
    return replace(dialect, has_header=not looks_like_a_row(rows[0], rows[1:]))


def looks_like_a_row(first: list[str], others: list[list[str]]) -> bool:
    """Whether the first line holds values instead of names; when in doubt it is a header, since most tables have one."""
    if len(others) < ROWS_TO_TELL_A_HEADER - 1 or any(cell.strip().casefold() in KNOWN_NAMES for cell in first):
        return False
    if any(len(cell) > LONGEST_NAME or "\n" in cell for cell in first):
        return True
    if [cell.strip() for cell in first] in ([str(place) for place in range(start, start + len(first))] for start in (0, 1)):
        return False  # names that only count, as programs write them
    columns = [[row[place] for row in others if place < len(row)] for place in range(len(first))]
    return any(_is_one_of(cell, values) for cell, values in zip(first, columns, strict=True) if cell.strip())


def _is_one_of(cell: str, values: list[str]) -> bool:
    """Whether a first cell is of its column's kind: a number above numbers, or one of a few values that come again and again."""
    if NUMBER.fullmatch(cell) and not YEAR.fullmatch(cell):
        return bool(values) and sum(bool(NUMBER.fullmatch(value)) for value in values) >= MOSTLY * len(values)
    return len(set(values)) * 2 <= len(values) and values.count(cell) > 1


def _shows(head: str, dialect: Dialect) -> bool:
    """Whether a text has what a less usual dialect is told by, so that plain files are not read three times."""
    if dialect.backslash:
        return '\\"' in head
    return head.startswith("'") or f"{dialect.delimiter}'" in head or "\n'" in head


def _rows(head: str, dialect: Dialect) -> list[list[str]]:
    rows: list[list[str]] = []
    try:
        for row in dialect.reader(io.StringIO(dialect.plain(head), newline="")):
            if row:
                rows.append(row)
            if len(rows) >= ROWS_LOOKED_AT:
                break
    except csv.Error:
        pass  # what was read before still counts
    return rows


def _steadiness(rows: list[list[str]], least: float) -> tuple[float, int] | None:
    width = len(rows[0])
    if width < MIN_WIDTH:
        return None
    body = [len(row) for row in rows[1:]] or [width]
    share = Counter(body)[width] / len(body)
    return (round(share, 1), width) if share >= least else None


def _tidiness(rows: list[list[str]], dialect: Dialect) -> float:
    """Return how few cells still show quotes that belong to another dialect; cells in apostrophes from end to end do."""
    cells = [cell for row in rows for cell in row if cell]
    left = sum(cell[0] == cell[-1] == "'" and len(cell) > 1 for cell in cells) if dialect.quote == '"' else 0
    if not dialect.backslash:
        left += sum('\\"' in cell for cell in cells)
    return round(1 - left / max(1, len(cells)), 1)
