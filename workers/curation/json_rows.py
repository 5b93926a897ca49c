"""Rows of JSONL files and of JSON documents, one at a time: neither a file nor an array is ever held whole."""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING, Any

from app.domain.datasets import MAX_LINE_BYTES, Problem
from workers.curation.json_text import JsonReader, NotJson, skip_space
from workers.curation.rows import TOO_LONG, RawRow, as_row, problem
from workers.curation.shapes import shape_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from workers.curation.source import Line

LONGEST_TOKEN = 12
"""An error this close to the end of what was read may only mean that more has to be read ("-Infinity" has nine characters)."""


def jsonl_rows(lines: Iterable[Line]) -> Iterator[RawRow | Problem]:
    """Yield one row a line; blank lines are nothing."""
    reader = JsonReader()
    for line in lines:
        if line.content is None:
            yield problem(line.number, f"the line is {TOO_LONG}")
        elif line.content and not line.content.isspace():
            try:
                value, flaw = reader.read_line(line.content)
            except NotJson as found:
                yield problem(line.number, f"not valid JSON: {found.why} (column {found.at + 1})")
                continue
            yield problem(line.number, flaw) if flaw else as_row(line.number, value)


def document_rows(blocks: Iterable[bytes]) -> Iterator[RawRow | Problem]:
    """Yield the elements of a JSON array, or of the arrays inside a JSON object; a lone row is a file of one row."""
    text = _Text(blocks)
    try:
        yield from _top_level(text)
        if text.peek():
            yield problem(text.line_of(text.at), "not valid JSON: there is text after the end of the document")
    except _Broken as found:
        yield problem(found.line, f"{found.why}; nothing after this place could be read")


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

    def skip(self, expected: str) -> None:
        """Step over a character of the syntax."""
        if self.peek() != expected:
            raise _Broken(self.line_of(self.at), f"not valid JSON: {expected!r} is missing")
        self.at += 1
        self.indent = None

    def value(self, *, stay: bool = False) -> tuple[Any, str | None]:
        """Take the value at the cursor (or `stay` before it), reading on until it is whole; _Broken if it is no JSON or too long."""
        while True:
            try:
                value, flaw, end = self._reader.read_at(self.text, self.at)
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
            return value, flaw

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


def _top_level(text: _Text) -> Iterator[RawRow | Problem]:
    opener = text.peek()
    if opener == "[":
        yield from _elements(text)
    elif opener == "{":
        yield from _object(text)
    elif opener:
        line = text.line_of(text.at)
        value, flaw = text.value()
        yield problem(line, flaw) if flaw else as_row(line, value)


def _object(text: _Text) -> Iterator[RawRow | Problem]:
    """One row, or an object that wraps lists of rows: `{"data": […]}`, `{"train": […], "test": […]}`."""
    line = text.line_of(text.at)
    try:
        value, flaw = text.value(stay=True)
    except _Broken:
        pass  # too long for a row, or broken somewhere inside: its lists are read element by element
    else:
        if flaw or shape_of(value) or not any(_holds_rows(member) for member in value.values()):
            text.value()
            yield problem(line, flaw) if flaw else as_row(line, value)
            return
    yield from _members(text)


def _holds_rows(member: Any) -> bool:
    return isinstance(member, list) and bool(member) and isinstance(member[0], list | dict)


def _members(text: _Text) -> Iterator[RawRow | Problem]:
    text.skip("{")
    while True:
        name, _ = text.value() if text.peek() == '"' else ("", None)
        text.skip(":")
        if shape_of({name: [{}]}):
            raise _Broken(text.line_of(text.at), f"a row that is broken or {TOO_LONG}")
        if text.peek() == "[":
            yield from _elements(text)
        else:
            text.value()
        if text.peek() == "}":
            text.skip("}")
            return
        text.skip(",")


def _elements(text: _Text) -> Iterator[RawRow | Problem]:
    text.skip("[")
    if text.peek() == "]":
        text.skip("]")
        return
    while True:
        opener = text.peek()
        line, indent = text.line_of(text.at), text.indent
        try:
            value, flaw = text.value()
            yield problem(line, flaw) if flaw else as_row(line, value)
            following = text.peek()
            if following == opener:
                yield problem(text.line_of(text.at), "not valid JSON: there is no comma before this element")
                continue
            text.skip("]" if following == "]" else ",")
            if following == "]":
                return
        except _Broken as found:
            if indent is None or opener not in {"{", "["}:
                raise
            yield problem(found.line, found.why)
            if not text.skip_to_sibling(indent, opener):
                raise _Broken(text.line_of(text.at), "the array is never closed") from None
