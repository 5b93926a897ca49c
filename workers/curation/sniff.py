"""What kind of file this is: its encoding, whether it is JSONL, one JSON document or a table, and the table's delimiter.

Content decides first and the name second, since exports are renamed at will.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING

from app.domain.uploads import HEAD_BYTES, check_first_bytes, encoding_by_zeros
from workers.curation.encodings import guess_encoding
from workers.curation.source import Source

if TYPE_CHECKING:
    from pathlib import Path

DELIMITERS = (",", "\t", ";", "|")
HEAD_CHARACTERS = 256 * 1024
ROWS_LOOKED_AT = 200
MIN_STEADY_SHARE = 0.6


class Kind(StrEnum):
    """How rows are laid out in a file."""

    JSONL = "jsonl"
    JSON = "json"
    TABLE = "table"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Sniffed:
    """What reading a file needs to know about it."""

    kind: Kind
    encoding: str
    delimiter: str | None = None


def sniff(path: Path, filename: str) -> Sniffed:
    """Look at a file; Invalid or UnsupportedType when its first bytes show that it holds no text."""
    with path.open("rb") as file:
        first = file.read(HEAD_BYTES)
    check_first_bytes(first, filename)
    encoding = encoding_by_zeros(first) or guess_encoding(path)
    source = Source(path, encoding)
    head = b"".join(islice(source.blocks(), 2)).decode("utf-8", "replace")[:HEAD_CHARACTERS].replace("\r\n", "\n").replace("\r", "\n")
    whole = source.done >= source.size and len(head) < HEAD_CHARACTERS
    kind = _kind_of_json(head, whole=whole, single_line="\n" not in head.strip() and _has_one_line(path, encoding))
    if kind:
        return Sniffed(kind, encoding)
    name = filename.casefold()
    delimiter = find_delimiter(head if whole else head.rpartition("\n")[0] or head)
    if delimiter:
        return Sniffed(Kind.TABLE, encoding, delimiter)
    if name.endswith((".jsonl", ".ndjson", ".json")):
        return Sniffed(Kind.JSON if name.endswith(".json") else Kind.JSONL, encoding)
    if name.endswith((".csv", ".tsv", ".tab")):
        return Sniffed(Kind.TABLE, encoding, "," if name.endswith(".csv") else "\t")
    return Sniffed(Kind.TEXT, encoding)


def _has_one_line(path: Path, encoding: str) -> bool:
    content, ended = False, False
    for block in Source(path, encoding).blocks():
        rest = block if content else block.lstrip()
        content = content or bool(rest)
        if not ended:
            _, end, rest = rest.partition(b"\n")
            ended = bool(end)
            rest = rest if end else b""
        if rest.strip():
            return False
    return True


def _kind_of_json(head: str, *, whole: bool, single_line: bool) -> Kind | None:
    lines = [line for line in head.split("\n") if line.strip()]
    if not whole and len(lines) > 1:
        lines.pop()
    openers = [line for line in lines if line.lstrip().startswith("{")]
    begins = head.lstrip()[:1]
    if begins == "[":
        return Kind.JSONL if len(lines) > 1 and all(_is_json(line) for line in lines[:2]) else Kind.JSON
    if begins != "{":
        return Kind.JSONL if len(openers) * 2 > len(lines) else None
    if single_line:
        return Kind.JSON
    parsed = sum(_is_json(line) for line in openers)
    # A document's elements may stand one a line too, but then commas separate them.
    rows = sum(line.startswith("{") and not line.rstrip().endswith(",") for line in lines)
    is_lines = parsed * 2 >= len(openers) or rows * 2 > len(lines) or lines[0].rstrip().endswith("}")
    return Kind.JSONL if is_lines else Kind.JSON


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def find_delimiter(head: str) -> str | None:
    """Return the delimiter that gives the header and most rows the same number of cells, at least two; None without one."""
    scored = [(score, -place, delimiter) for place, delimiter in enumerate(DELIMITERS) if (score := _steadiness(head, delimiter))]
    return max(scored)[2] if scored else None


def _steadiness(head: str, delimiter: str) -> tuple[float, int] | None:
    widths: list[int] = []
    try:
        for row in csv.reader(io.StringIO(head, newline=""), delimiter=delimiter):
            if row:
                widths.append(len(row))
            if len(widths) >= ROWS_LOOKED_AT:
                break
    except csv.Error:
        pass  # what was read before still counts
    if not widths or widths[0] < 2:  # noqa: PLR2004 - a table has two columns at least
        return None
    body = widths[1:] or widths
    share = Counter(body)[widths[0]] / len(body)
    return (round(share, 1), widths[0]) if share >= MIN_STEADY_SHARE else None
