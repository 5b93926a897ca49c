"""JSON as RFC 8259 has it, and what a row must not hold besides: Python's own parser takes NaN and hides doubled keys.

Of a key that stands twice in one object the last one counts, as everywhere, but it is told.
"""

from __future__ import annotations

import json
import re
from typing import Any

from app.domain.datasets import MAX_DEPTH

MAX_DIGITS = 4_000
ESCAPE = re.compile(r"\\u(?:[dD][89a-fA-F]|0000)")
SPACE = re.compile(r"[ \t\n\r]*")
WORDING = {"Expecting value": "a value is missing", "Extra data": "there is text after the end of the value"}


class NotJson(Exception):
    """The text is no JSON; `at` is where in the text."""

    def __init__(self, why: str, at: int) -> None:
        super().__init__(why)
        self.why, self.at = why, at


class JsonReader:
    """Reads values and remembers the flaws that syntax alone does not show."""

    def __init__(self) -> None:
        self._flaws: list[str] = []
        self._doubled: str | None = None
        self._decoder = json.JSONDecoder(object_pairs_hook=self._object, parse_constant=self._constant, parse_int=self._whole_number)

    def read_line(self, line: bytes) -> tuple[Any, str | None, str | None]:
        """Return the only value of a line, its flaw and a key that stands twice, if any; NotJson otherwise."""
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            raise NotJson(f"byte 0x{line[error.start]:02X} is not UTF-8", error.start) from None
        value, flaw, doubled, end = self.read_at(text, skip_space(text, 0))
        end = skip_space(text, end)
        if end < len(text):
            raise NotJson(WORDING["Extra data"], end)
        return value, flaw, doubled

    def read_at(self, text: str, start: int) -> tuple[Any, str | None, str | None, int]:
        """Return the value that starts at `start`, its flaw, a key that stands twice in one of its objects, and its end."""
        self._flaws.clear()
        self._doubled = None
        try:
            value, end = self._decoder.raw_decode(text, start)
        except json.JSONDecodeError as error:
            raise NotJson(WORDING.get(error.msg, error.msg[:1].lower() + error.msg[1:]), error.pos) from None
        except RecursionError:
            raise NotJson(f"nested deeper than {MAX_DEPTH}", start) from None
        return value, self._flaws[0] if self._flaws else _flaw_in_text(value, text[start:end]), self._doubled, end

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            seen: set[str] = set()
            self._doubled = self._doubled or next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        return found

    def _constant(self, name: str) -> None:
        self._flaws.append(f"{name} is no JSON value")

    def _whole_number(self, digits: str) -> int:
        if len(digits) > MAX_DIGITS:
            self._flaws.append(f"a number has more than {MAX_DIGITS:,} digits")
            return 0
        return int(digits)


def skip_space(text: str, at: int) -> int:
    """Return the first place from `at` on that is no JSON white space."""
    found = SPACE.match(text, at)
    return found.end() if found else at


def _flaw_in_text(value: Any, raw: str) -> str | None:
    if raw.count("[") + raw.count("{") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        return f"nested deeper than {MAX_DEPTH}"
    if not raw.isascii() and not _is_whole_unicode(raw):
        return "half a surrogate pair, which is no character"
    if ESCAPE.search(raw):
        return _flaw_in_strings(value)
    return None


def _flaw_in_strings(value: Any) -> str | None:
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, str):
            if "\0" in item:
                return "a NUL character"
            if not _is_whole_unicode(item):
                return "half a surrogate pair, which is no character"
        elif isinstance(item, list):
            pending += item
        elif isinstance(item, dict):
            pending += [*item.keys(), *item.values()]
    return None


def _is_whole_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _depth(value: Any) -> int:
    deepest, pending = 0, [(value, 1)]
    while pending:
        item, depth = pending.pop()
        if isinstance(item, list | dict):
            deepest = max(deepest, depth)
            pending += [(child, depth + 1) for child in (item.values() if isinstance(item, dict) else item)]
    return deepest
