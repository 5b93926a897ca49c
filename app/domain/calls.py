"""What a conversation passes to tools: the texts and whole numbers in the arguments of its calls, however their JSON escapes them."""

from __future__ import annotations

import json
import re
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from app.domain.datasets import Row

    Calls = list[dict[str, Any]]

JSON_VALUE = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\\?\Z)(?P<key>\s*:)?|(?<![\w.+-])\d+(?![\w.])', re.DOTALL)
"""The texts and whole numbers of JSON, so that all else stays as it is written; a text before a colon is a name.

One that is not closed goes to the end, whatever it ends in: else each quote in it would be tried anew, as far as the end.
"""
LONE_SURROGATE = re.compile("[\ud800-\udfff]")
MOST_PASSED, LONGEST_NAME = 2_000, 60
"""Of a row that passes on more, the rest is not looked at: no conversation does, and eight megabytes of numbers would take minutes."""


class Passed(NamedTuple):
    """A value, and the name it is passed under."""

    name: str
    text: str


def passed_in(row: Row) -> list[Passed]:
    """Return what a row's calls pass on, in order, those of the worse answer last."""
    return passed(call for message in (*row.messages, *(row.rejected or ())) for call in message.tool_calls or ())


def passed(calls: Iterable[dict[str, Any]]) -> list[Passed]:
    """Return what the calls of a row pass on, in order, up to `MOST_PASSED` values."""
    return list(islice((value for call in calls for value in _values(_written(call))), MOST_PASSED))


def with_values(calls: Calls, change: Callable[[str], str]) -> Calls:
    """Return calls with each value as it is changed; all else stays as it is written."""
    return [_with_arguments(call, change) if "arguments" in (call.get("function") or {}) else call for call in calls]


def _with_arguments(call: dict[str, Any], change: Callable[[str], str]) -> dict[str, Any]:
    given = call["function"]["arguments"]
    written = JSON_VALUE.sub(lambda found: found[0] if found["key"] else _changed(found[0], change), _written(call))
    return call | {"function": call["function"] | {"arguments": written if isinstance(given, str) else json.loads(written)}}


def _written(call: dict[str, Any]) -> str:
    arguments = (call.get("function") or {}).get("arguments", "")
    return arguments if isinstance(arguments, str) else json.dumps(arguments)


def _values(written: str) -> Iterator[Passed]:
    name = ""
    for found in JSON_VALUE.finditer(written):
        if found["key"]:
            name = _meant(found[0].removesuffix(found["key"]))[-LONGEST_NAME:]
        else:
            yield Passed(name, _meant(found[0]))


def _meant(value: str) -> str:
    """Return what a text or a number of JSON says; broken JSON as it stands."""
    try:
        return str(json.loads(value)) if value.startswith('"') else value
    except ValueError:
        return value


def _changed(value: str, change: Callable[[str], str]) -> str:
    meant = _meant(value)
    said = change(meant)
    if said == meant:
        return value
    is_broken = meant == value and value.startswith('"')
    return said if is_broken else json.dumps(said, ensure_ascii=bool(LONE_SURROGATE.search(said)))
