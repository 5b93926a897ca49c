"""What kind of file this is: its encoding, whether it is JSON, a table, a text or one of the binary forms, and the table's dialect.

Content decides first and the name second, since exports are renamed at will.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING

from app.domain.errors import UnsupportedType
from app.domain.exported import HEADER
from app.domain.uploads import HEAD_BYTES, check_first_bytes, encoding_by_zeros
from workers.curation.dialects import Dialect, find_dialect
from workers.curation.encodings import guess_encoding
from workers.curation.source import Source

if TYPE_CHECKING:
    from pathlib import Path

HEAD_CHARACTERS = 256 * 1024
MARKDOWN = (".md", ".markdown", ".mdown", ".mdx")
PROSE = (".txt", ".text", *MARKDOWN)
NO_PROSE = {
    ".yaml": "YAML",
    ".yml": "YAML",
    ".toml": "TOML",
    ".ini": "settings",
    ".cfg": "settings",
    ".env": "settings",
    ".xml": "XML",
    ".jinja": "a template",
    ".jinja2": "a template",
    ".j2": "a template",
    ".html": "a web page",
    ".htm": "a web page",
    ".css": "a style sheet",
    ".py": "Python code",
    ".ipynb": "a notebook",
    ".js": "JavaScript",
    ".ts": "TypeScript",
    ".sh": "a shell script",
    ".sql": "SQL",
    ".java": "Java code",
    ".c": "C code",
    ".h": "C code",
    ".cpp": "C++ code",
    ".go": "Go code",
    ".rs": "Rust code",
    ".tex": "TeX",
    ".rtf": "rich text",
}  # fmt: skip - a list of words
"""Text that is written for programs: learnt from as prose only when its owner says so, by its name."""


class FileKind(StrEnum):
    """How rows are laid out in a file."""

    JSONL = "jsonl"
    JSON = "json"
    TABLE = "table"
    TEXT = "text"
    MARKDOWN = "markdown"
    PARQUET = "parquet"
    ARROW = "arrow"
    WORKBOOK = "workbook"


BINARY = ((b"PAR1", FileKind.PARQUET), (b"ARROW1", FileKind.ARROW), (b"\xff\xff\xff\xff", FileKind.ARROW), (b"PK", FileKind.WORKBOOK))


@dataclass(frozen=True, slots=True)
class Sniffed:
    """What reading a file needs to know about it; binary forms have no encoding."""

    kind: FileKind
    encoding: str | None = None
    dialect: Dialect | None = None

    @property
    def counts_rows(self) -> bool:
        """Whether its places are rows instead of lines."""
        return self.kind in {FileKind.PARQUET, FileKind.ARROW, FileKind.WORKBOOK}


def sniff(path: Path, filename: str, presumed: str | None = None) -> Sniffed:
    """Look at a file; Invalid or UnsupportedType when its first bytes show that it holds no examples.

    All of it is read to tell its encoding, unless one is presumed.
    """
    with path.open("rb") as file:
        first = file.read(HEAD_BYTES)
    check_first_bytes(first, filename)
    encoding = encoding_by_zeros(first)
    binary = None if encoding else next((kind for mark, kind in BINARY if first.startswith(mark) and b"\0" in first), None)
    if binary:
        return Sniffed(binary)
    encoding = encoding or presumed or guess_encoding(path)
    source = Source(path, encoding)
    head = b"".join(islice(source.blocks(), 2)).decode("utf-8", "replace")[:HEAD_CHARACTERS].replace("\r\n", "\n").replace("\r", "\n")
    whole = source.done >= source.size and len(head) < HEAD_CHARACTERS
    if head.startswith(HEADER + "\n"):
        return Sniffed(FileKind.TABLE, encoding, Dialect())
    _refuse_programs(head, filename)
    kind = _kind_of_json(head, whole=whole, single_line="\n" not in head.strip() and _has_one_line(path, encoding))
    if kind:
        return Sniffed(kind, encoding)
    return _table_or_text(head if whole else head.rpartition("\n")[0] or head, filename, encoding)


def _refuse_programs(head: str, filename: str) -> None:
    name, first = filename.casefold(), head.lstrip().partition("\n")[0]
    what = next((what for suffix, what in NO_PROSE.items() if name.endswith(suffix)), None)
    if what and not (first.startswith(("{", "[")) and _is_json(first)):
        shown = filename.encode("utf-8", "replace").decode()[-80:]
        message = (
            f"{shown} is {what}, without rows Hone could tell apart. Upload JSONL, JSON, CSV, Parquet or Excel; to learn it as a text,"
        )
        raise UnsupportedType(f"{message} name it .txt.", param="file", code="unsupported_type")


def _table_or_text(head: str, filename: str, encoding: str) -> Sniffed:
    name = filename.casefold()
    dialect = None if name.endswith(MARKDOWN) else find_dialect(head, certainly=name.endswith(PROSE))
    if dialect:
        return Sniffed(FileKind.TABLE, encoding, dialect)
    if name.endswith((".jsonl", ".ndjson", ".json")):
        return Sniffed(FileKind.JSON if name.endswith(".json") else FileKind.JSONL, encoding)
    if name.endswith((".csv", ".tsv", ".tab")):
        return Sniffed(FileKind.TABLE, encoding, Dialect("," if name.endswith(".csv") else "\t"))
    return Sniffed(FileKind.MARKDOWN if name.endswith(MARKDOWN) else FileKind.TEXT, encoding)


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


def _kind_of_json(head: str, *, whole: bool, single_line: bool) -> FileKind | None:
    lines = [line for line in head.split("\n") if line.strip()]
    if not whole and len(lines) > 1:
        lines.pop()
    openers = [line for line in lines if line.lstrip().startswith("{")]
    begins = head.lstrip()[:1]
    if begins == "[":
        return FileKind.JSONL if len(lines) > 1 and all(_is_json(line) for line in lines[:2]) else FileKind.JSON
    if begins != "{":
        return FileKind.JSONL if len(openers) * 2 > len(lines) else None
    if single_line:
        return FileKind.JSON
    parsed = sum(_is_json(line) for line in openers)
    # A document's elements may stand one a line too, but then commas separate them.
    rows = sum(line.startswith("{") and not line.rstrip().endswith(",") for line in lines)
    is_lines = parsed * 2 >= len(openers) or rows * 2 > len(lines) or lines[0].rstrip().endswith("}")
    return FileKind.JSONL if is_lines else FileKind.JSON


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True
