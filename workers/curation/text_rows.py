"""Rows of plain text and Markdown: passages of a page or so, none across two documents, each below the headings it stands under."""

from __future__ import annotations

import re
from itertools import chain, islice
from typing import TYPE_CHECKING

from workers.curation.rows import Aside, RawRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from workers.curation.source import Line

PASSAGE_CHARACTERS = 2_000
END_OF_DOCUMENT = "<|endoftext|>"
HEADING = re.compile(r"(#{1,6})\s+\S")
FENCE = re.compile(r"\s{0,3}(```|~~~)")
FRONT_MATTER = "---"
MAX_FRONT_LINES = 200
SENTENCE_END = re.compile(r"[.!?…。！？][\"'”’)\]]*\s+|\n+")


def text_rows(lines: Iterable[Line]) -> Iterator[RawRow | Aside]:
    """Yield passages of a text: paragraphs that follow each other, up to a page; `<|endoftext|>` parts documents."""
    packer = _Packer()
    for line in lines:
        text = _text(line)
        if isinstance(text, Aside):
            yield text
            continue
        first, *others = text.split(END_OF_DOCUMENT)
        yield from packer.add(line.number, first)
        for piece in others:
            yield from packer.flush()
            yield from packer.add(line.number, piece)
    yield from packer.flush()


def markdown_rows(lines: Iterable[Line]) -> Iterator[RawRow | Aside]:
    """Yield the sections of a Markdown file, each under its headings; long ones in several rows."""
    packer, trail, in_code = _Packer(), list[tuple[int, str]](), False
    for line in _without_front_matter(lines):
        text = _text(line)
        if isinstance(text, Aside):
            yield text
            continue
        in_code ^= FENCE.match(text) is not None
        heading = None if in_code else HEADING.match(text)
        if heading is None:
            yield from packer.add(line.number, text)
            continue
        yield from packer.flush()
        level = len(heading[1])
        trail = [each for each in trail if each[0] < level] + [(level, text.strip())]
        packer.begin_under("\n\n".join(title for _, title in trail))
    yield from packer.flush()


class _Packer:
    """Gathers lines to rows that end, where they can, at a blank line."""

    def __init__(self) -> None:
        self._heading = ""
        self._kept: list[str] = []
        self._open: list[str] = []
        self._kept_size = self._open_size = 0
        self._line = 0

    def begin_under(self, heading: str) -> None:
        """Let the rows that follow stand under a heading."""
        self._heading = heading

    def add(self, number: int, text: str) -> Iterator[RawRow]:
        """Take a line; yield what has become long enough."""
        if not text.strip():
            yield from self._blank(text)
            return
        if self._kept and self._kept_size and self._kept_size + self._open_size + len(text) > PASSAGE_CHARACTERS:
            yield from self._cut(number)
        if not self._kept_size and self._open and self._open_size + len(text) > PASSAGE_CHARACTERS:
            yield from self.flush()
        if not self._kept_size and not self._open:
            self._line, self._kept = number, []
        *pieces, rest = _pieces(text)
        for piece in pieces:
            self._open.append(piece)
            yield from self.flush()
            self._line = number
        self._open.append(rest)
        self._open_size += len(rest) + 1

    def flush(self) -> Iterator[RawRow]:
        """Yield what was gathered."""
        said = "\n".join([*self._kept, *self._open]).strip("\n")
        if said.strip():
            yield RawRow(self._line, {"text": f"{self._heading}\n\n{said}" if self._heading else said})
        self._kept, self._open = [], []
        self._kept_size = self._open_size = 0

    def _blank(self, text: str) -> Iterator[RawRow]:
        """Take a blank line: a paragraph has ended; before the first and behind many others they are nothing."""
        if not self._open and not self._kept_size:
            return
        if self._kept_size + self._open_size + len(text) > PASSAGE_CHARACTERS:
            yield from self.flush()
            return
        self._kept += [*self._open, text]
        self._kept_size += self._open_size + len(text) + 1
        self._open, self._open_size = [], 0

    def _cut(self, number: int) -> Iterator[RawRow]:
        """Yield what stands before the last blank line; the paragraph that has begun since begins the next row."""
        begun, size = self._open, self._open_size
        self._open = []
        yield from self.flush()
        self._open, self._open_size = begun, size
        self._line = number - len(begun)


def _pieces(text: str) -> list[str]:
    """Return a line, a very long one cut behind sentences."""
    found = []
    while len(text) > PASSAGE_CHARACTERS:
        ends = [match.end() for match in SENTENCE_END.finditer(text, 0, PASSAGE_CHARACTERS)]
        cut = ends[-1] if ends else text.rfind(" ", 1, PASSAGE_CHARACTERS) + 1 or PASSAGE_CHARACTERS
        found.append(text[:cut].rstrip())
        text = text[cut:]
    return [*found, text]


def _text(line: Line) -> str | Aside:
    if line.content is None:
        return Aside(line.number, "the line is too long to be held in memory")
    try:
        text = line.content.decode()
    except UnicodeDecodeError as error:
        byte = line.content[error.start]
        return Aside(line.number, f"byte 0x{byte:02X} is not UTF-8 (column {error.start + 1})", raw=line.content)
    return Aside(line.number, "a NUL character", raw=text) if "\0" in text else text


def _without_front_matter(lines: Iterable[Line]) -> Iterator[Line]:
    """Leave out what some programs write about a page above it, between two lines of dashes."""
    rest = iter(lines)
    head = list(islice(rest, MAX_FRONT_LINES))
    marks = [place for place, line in enumerate(head) if line.content is not None and line.content.strip() == FRONT_MATTER.encode()]
    begins = len(marks) > 1 and marks[0] == 0
    return chain(head[marks[1] + 1 :] if begins else head, rest)
