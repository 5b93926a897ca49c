"""Rows as a file holds them, before anybody asks what they mean: an object with the line it starts on, or what is wrong with it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from app.domain.datasets import MAX_LINE_BYTES, Problem

MAX_REASON_CHARACTERS = 300
MAX_TEXT_BYTES = 64 * 1024
TOO_LONG = f"longer than {MAX_LINE_BYTES // 2**20} MiB"
NO_ROW = "valid JSON, but no row"


@dataclass(frozen=True, slots=True)
class RawRow:
    """A row as an object: JSON as it was read, cells of a table under their column's name.

    `side` is the name of the list or the file it stood in, which may say which split it is of; `doubled` a key that stood twice in it.
    """

    line: int
    cells: dict[str, Any]
    side: str | None = None
    doubled: str | None = None


@dataclass(frozen=True, slots=True)
class Aside:
    """A row that cannot be used: where, why, and what it holds, for a person to mend it."""

    line: int
    reason: str
    code: str = "broken"
    raw: str | bytes | dict[str, Any] | list[Any] | None = None

    def problem(self, file: int = 0, where: str = "") -> Problem:
        """Return the problem to list; its reason can be shown, stored and sent anywhere."""
        return Problem(line=self.line, reason=as_plain(self.reason + where), code=self.code, file=file)

    def text(self) -> tuple[str, bool]:
        """Return the row as text, within bounds, and whether that is but its beginning."""
        if isinstance(self.raw, bytes):
            found = self.raw[: MAX_TEXT_BYTES + 1].decode("utf-8", "replace")
        elif isinstance(self.raw, str) or self.raw is None:
            found = self.raw or ""
        else:
            found = json.dumps(self.raw, ensure_ascii=False, indent=2)
        whole = found.encode("utf-8", "backslashreplace")
        return whole[:MAX_TEXT_BYTES].decode("utf-8", "ignore"), len(whole) > MAX_TEXT_BYTES


def as_plain(reason: str) -> str:
    """Return a sentence without anything that a database or a page could not take, and not too long."""
    plain = reason.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
    return plain if len(plain) <= MAX_REASON_CHARACTERS else plain[: MAX_REASON_CHARACTERS - 1] + "…"


def as_row(line: int, value: Any, doubled: str | None = None, side: str | None = None) -> RawRow | Aside:
    """Return the row that a JSON value makes: an object as it is, a text to learn whole, a list of values as unnamed columns."""
    if isinstance(value, dict):
        return RawRow(line, value, side, doubled) if value else Aside(line, f"{NO_ROW}: an empty object")
    if isinstance(value, str):
        return RawRow(line, {"text": value}, side)
    if isinstance(value, list) and value and not any(isinstance(cell, list | dict) for cell in value):
        return RawRow(line, {column_name("", place): cell for place, cell in enumerate(value)}, side)
    kind = {list: "a list", bool: "true or false", type(None): "null"}.get(type(value), "a number")
    return Aside(line, f"{NO_ROW}: {kind}", raw=json.dumps(value, ensure_ascii=False)[: MAX_TEXT_BYTES + 1])


def column_name(given: str, place: int) -> str:
    """Return a column's name, or one by its place where it has none."""
    return given or f"column {place + 1}"


def has_no_name(name: str, place: int) -> bool:
    """Whether a column's name is but its place."""
    return name == column_name("", place)
