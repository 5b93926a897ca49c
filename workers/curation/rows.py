"""Rows as a file holds them, before anybody asks what they mean: an object with the line it starts on, or a problem."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app.domain.datasets import MAX_LINE_BYTES, Problem

MAX_REASON_CHARACTERS = 300
TOO_LONG = f"longer than {MAX_LINE_BYTES // 2**20} MiB"


@dataclass(frozen=True, slots=True)
class RawRow:
    """A row as an object: JSON as it was read, cells of a table under their column's name."""

    line: int
    cells: dict[str, Any]


def problem(line: int, reason: str) -> Problem:
    """Return a problem whose reason can be shown, stored and sent anywhere."""
    plain = reason.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
    return Problem(line=line, reason=plain if len(plain) <= MAX_REASON_CHARACTERS else plain[: MAX_REASON_CHARACTERS - 1] + "…")


def as_row(line: int, value: Any) -> RawRow | Problem:
    """Return the row that a JSON value makes: an object as it is, a list of values as unnamed columns."""
    if isinstance(value, dict):
        return RawRow(line, value) if value else problem(line, "an empty object")
    if isinstance(value, list) and value and not any(isinstance(cell, list | dict) for cell in value):
        return RawRow(line, {column_name("", place): cell for place, cell in enumerate(value)})
    kind = {str: "a text", list: "a list", bool: "true or false", type(None): "null"}.get(type(value), "a number")
    return problem(line, f"not a JSON object but {kind}")


def column_name(given: str, place: int) -> str:
    """Return a column's name, or one by its place where it has none."""
    return given or f"column {place + 1}"
