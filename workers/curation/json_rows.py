"""Rows of JSONL files and of JSON documents, one at a time: neither a file nor an array is ever held whole."""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING, Any

from app.domain.datasets import MAX_LINE_BYTES
from workers.curation.json_text import JsonReader, NotJson, skip_space
from workers.curation.rows import NO_ROW, TOO_LONG, Aside, RawRow, as_row
from workers.curation.shapes import shape_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from workers.curation.source import Line

SHOWN_CHARACTERS = 4_000
LONGEST_TOKEN = 12
"""An error this close to the end of what was read may only mean that more has to be read ("-Infinity" has nine characters)."""


def jsonl_rows(lines: Iterable[Line]) -> Iterator[RawRow | Aside]:
    """Yield one row a line; blank lines are nothing."""
    reader = JsonReader()
    for line in lines:
        if line.content is None:
            yield Aside(line.number, f"the line is {TOO_LONG}")
        elif line.content and not line.content.isspace():
            try:
                value, flaw, doubled = reader.read_line(line.content)
            except NotJson as found:
                yield Aside(line.number, f"not valid JSON: {found.why} (column {found.at + 1})", raw=line.content)
                continue
            yield Aside(line.number, flaw, raw=line.content) if flaw else as_row(line.number, value, doubled)


def document_rows(blocks: Iterable[bytes], *, any_object: bool = False) -> Iterator[RawRow | Aside]:
    """Yield the elements of a JSON array, or of the arrays inside a JSON object.

    A lone object is a row when it has a row's keys, or with `any_object`: others are settings, or a description of something.
    """
    text = _Text(blocks)
    try:
        yield from _top_level(text, any_object=any_object)
        if text.peek():
            yield Aside(text.line_of(text.at), "not valid JSON: there is text after the end of the document", raw=text.ahead())
    except _Broken as found:
        yield Aside(found.line, f"{found.why}; nothing after this place could be read", raw=text.ahead())


class _Broken(Exception):
    """The document cannot be followed any further."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(why)
        self.line, self.why = line, why


class _Text:
    """The part of a document that is in memory, with a cursor that knows its line."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._blocks = iter(blocks)
        # What is not UTF-8 becomes half a surrogate pair, which the reader reports as the flaw of its row.
        self._decode = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode
        self._line, self._counted = 1, 0
        self._reader = JsonReader()
        self.text, self.at = "", 0
        self.indent: str | None = None

    def more(self) -> bool:
        """Read on, forgetting what lies before the cursor; False at the end of the file."""
        block = next(self._blocks, None)
        if block is None:
            return False
        self.line_of(self.at)
        self.text, self.at, self._counted = self.text[self.at :] + self._decode(block), 0, 0
        return True

    def _double(self) -> bool:
        """Read on until twice as much lies ahead: a long value is then tried a few times instead of once a block."""
        target, before = 2 * (len(self.text) - self.at), len(self.text) - self.at
        while len(self.text) - self.at < target and self.more():
            pass
        return len(self.text) - self.at > before

    def line_of(self, place: int) -> int:
        """Return the line of a place at or after every place asked for before."""
        self._line += self.text.count("\n", self._counted, place)
        self._counted = max(self._counted, place)
        return self._line

    def peek(self) -> str:
        """Skip space and return the next character; nothing at the end."""
        while True:
            end = skip_space(self.text, self.at)
            space = self.text[self.at : end]
            if space:
                self.indent = space.rpartition("\n")[2] if "\n" in space else None
            self.at = end
            if end < len(self.text):
                return self.text[end]
            if not self.more():
                return ""

    def ahead(self) -> str:
        """Return what lies ahead, as far as it has been read and a person would look at it."""
        return self.text[self.at : self.at + SHOWN_CHARACTERS]

    def skip(self, expected: str) -> None:
        """Step over a character of the syntax."""
        if self.peek() != expected:
            raise _Broken(self.line_of(self.at), f"not valid JSON: {expected!r} is missing")
        self.at += 1
        self.indent = None

    def row(self, side: str | None = None) -> RawRow | Aside:
        """Take the value at the cursor as a row."""
        line = self.line_of(self.at)
        value, flaw, doubled = self.value()
        if flaw:
            return Aside(line, flaw, raw=value if isinstance(value, dict | list) else None)
        return as_row(line, value, doubled, side)

    def value(self, *, stay: bool = False) -> tuple[Any, str | None, str | None]:
        """Take the value at the cursor (or `stay` before it), reading on until it is whole; _Broken if it is no JSON or too long."""
        while True:
            try:
                value, flaw, doubled, end = self._reader.read_at(self.text, self.at)
            except NotJson as found:
                cut_off = found.why.startswith("unterminated") or found.at >= len(self.text) - LONGEST_TOKEN
                line = self.line_of(self.at)
                if cut_off and len(self.text) - self.at > MAX_LINE_BYTES:
                    raise _Broken(line, f"a value is {TOO_LONG}") from None
                if cut_off and self._double():
                    continue
                column = found.at - self.text.rfind("\n", 0, found.at)
                where = line + self.text.count("\n", self.at, found.at)
                raise _Broken(line, f"not valid JSON: {found.why} (line {where}, column {column})") from None
            if end == len(self.text) and isinstance(value, int | float) and self.more():
                continue  # a number may go on in the next block
            self.at = self.at if stay else end
            return value, flaw, doubled

    def skip_to_sibling(self, indent: str, opener: str) -> bool:
        """Go on at the next line that begins as the broken element's line did; False if there is none."""
        sibling = re.compile("\n" + re.escape(indent) + re.escape(opener))
        self.at += 1
        while True:
            found = sibling.search(self.text, self.at)
            if found:
                self.at = found.start()
                return True
            self.at = max(self.at, len(self.text) - len(indent) - 2)
            if not self.more():
                self.at = len(self.text)
                return False


def _top_level(text: _Text, *, any_object: bool) -> Iterator[RawRow | Aside]:
    opener = text.peek()
    if opener == "[":
        yield from _elements(text)
    elif opener == "{":
        yield from _object(text, any_object=any_object)
    elif opener:
        found = text.row()
        is_row = isinstance(found, RawRow)
        yield Aside(found.line, f"{NO_ROW}: a lone value") if is_row else found


def _object(text: _Text, *, any_object: bool) -> Iterator[RawRow | Aside]:
    """One row, or an object that wraps lists of rows: `{"data": […]}`, `{"train": […], "test": […]}`."""
    try:
        value, flaw, _ = text.value(stay=True)
    except _Broken:
        pass  # too long for a row, or broken somewhere inside: its lists are read element by element
    else:
        if flaw or shape_of(value) or not any(_holds_rows(member) for member in value.values()):
            row = text.row()
            is_row = isinstance(row, Aside) or any_object or shape_of(value)
            yield row if is_row else Aside(row.line, f"{NO_ROW}: one object, whose keys are {', '.join(value)[:SHOWN_CHARACTERS]}")
            return
    yield from _members(text)


def _holds_rows(member: Any) -> bool:
    return isinstance(member, list) and bool(member) and isinstance(member[0], list | dict)


def _members(text: _Text) -> Iterator[RawRow | Aside]:
    text.skip("{")
    while True:
        if text.peek() != '"':
            raise _Broken(text.line_of(text.at), "not valid JSON: a key in quotes is missing")
        name = text.value()[0]
        text.skip(":")
        if shape_of({name: [{}]}):
            raise _Broken(text.line_of(text.at), f"a row that is broken or {TOO_LONG}")
        if text.peek() == "[":
            yield from _elements(text, side=name)
        else:
            text.value()
        if text.peek() == "}":
            text.skip("}")
            return
        text.skip(",")


def _elements(text: _Text, side: str | None = None) -> Iterator[RawRow | Aside]:
    text.skip("[")
    if text.peek() == "]":
        text.skip("]")
        return
    while True:
        opener = text.peek()
        indent = text.indent
        try:
            yield text.row(side)
            following = text.peek()
            if following == opener:
                yield Aside(text.line_of(text.at), "not valid JSON: there is no comma before this element", raw=text.ahead())
                continue
            text.skip("]" if following == "]" else ",")
            if following == "]":
                return
        except _Broken as found:
            if indent is None or opener not in {"{", "["}:
                raise
            yield Aside(found.line, found.why, raw=text.ahead())
            if not text.skip_to_sibling(indent, opener):
                raise _Broken(text.line_of(text.at), "the array is never closed") from None
