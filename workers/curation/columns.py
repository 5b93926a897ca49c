"""Columns of rows that fit no known shape: their names, a look at their values, a guess at their roles, and the mapping itself."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from app.domain.datasets import Mapping, Role, Turn
from workers.curation.shapes import SetAside, finish

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_COLUMNS = 200
MAX_NAME_CHARACTERS = 200
MAX_LIST_COLUMNS = 5
SAMPLE_ROWS = 10
SAMPLE_CHARACTERS = 300
QUESTIONS = (
    "user",
    "question",
    "utterance",
    "prompt",
    "instruction",
    "query",
    "request",
    "text",
    "message",
    "input",
    "sentence",
    "email",
    "body",
    "content",
    "review",
    "comment",
    "title",
)  # fmt: skip - a list of words
ANSWERS = (
    "assistant",
    "answer",
    "response",
    "completion",
    "output",
    "reply",
    "intent",
    "label",
    "target",
    "sentiment",
    "category",
    "class",
    "summary",
    "translation",
    "solution",
)  # fmt: skip - a list of words
NUMBERS = ("id", "uuid", "guid", "index", "idx", "no", "nr", "#", "row", "number")
"""What columns are called that only tell rows apart."""
MISSING = object()


class Columns:
    """What is learnt about the columns while rows pass by."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = dict.fromkeys(names)
        self.sample: list[dict[str, str]] = []

    @property
    def names(self) -> list[str]:
        """All names, in the order they were first seen."""
        return list(self._names)

    def note_keys(self, cells: dict[str, Any]) -> None:
        """Remember the keys of a row whose shape is known."""
        if cells.keys() <= self._names.keys():
            return
        for name in cells:
            if len(self._names) < MAX_COLUMNS and len(name) <= MAX_NAME_CHARACTERS:
                self._names.setdefault(name)

    def note(self, cells: dict[str, Any]) -> None:
        """Remember a row's columns, nested ones too, and its values while there is room in the sample."""
        wants_sample = len(self.sample) < SAMPLE_ROWS
        if not wants_sample and (len(self._names) >= MAX_COLUMNS or cells.keys() <= self._names.keys()):
            return
        flat = flatten(cells)
        for name in flat:
            if len(self._names) < MAX_COLUMNS:
                self._names.setdefault(name)
        if wants_sample:
            self.sample.append({name: as_text(value)[:SAMPLE_CHARACTERS].replace("\0", "") for name, value in flat.items()})

    def suggest(self) -> Mapping | None:
        """Guess the roles: by well-known names, else the longest texts ask and the shortest answer; what numbers the rows does neither."""
        question, answer = self._known(QUESTIONS), self._known(ANSWERS)
        filled = {name: _mean_length(self.sample, name) for name in self.names if self._could_say(name)}
        question = question or max((name for name in filled if name != answer), key=filled.__getitem__, default=None)
        answer = answer or min((name for name in filled if name != question), key=filled.__getitem__, default=None)
        if question is None or answer is None or question == answer:
            return None
        return Mapping(user=question, assistant=answer, system=self._known(("system", "system_prompt")))

    def _could_say(self, name: str) -> bool:
        """Return whether a column holds something in every row, and more than the row's number."""
        values = [row.get(name, "").strip() for row in self.sample]
        counted = [str(number) for start in (0, 1) for number in range(start, start + len(values))]
        numbers_rows = len(values) > 1 and values in (counted[: len(values)], counted[len(values) :])
        last_word = re.split(r"[\s._-]", name.casefold())[-1]
        return all(values) and not numbers_rows and last_word not in NUMBERS

    def _known(self, words: tuple[str, ...]) -> str | None:
        names = list(reversed(self.names))
        by_word = {name.casefold().rpartition(".")[2]: name for name in names} | {name.casefold(): name for name in names}
        return next((by_word[word] for word in words if word in by_word), None)


def _mean_length(sample: list[dict[str, str]], name: str) -> float:
    return sum(len(row.get(name, "")) for row in sample) / max(1, len(sample))


def flatten(cells: dict[str, Any]) -> dict[str, Any]:
    """Return a row's values by dotted name: objects by their keys, lists by the places of their first elements."""
    found: dict[str, Any] = {}
    pending = list(reversed(cells.items()))
    while pending and len(found) < MAX_COLUMNS:
        name, value = pending.pop()
        if isinstance(value, dict) and value:
            pending += [(f"{name}.{key}", child) for key, child in reversed(value.items())]
        elif isinstance(value, list) and value:
            pending += [(f"{name}.{place}", child) for place, child in reversed(list(enumerate(value[:MAX_LIST_COLUMNS])))]
        elif len(name) <= MAX_NAME_CHARACTERS:
            found[name] = value
    return found


def as_text(value: Any) -> str:
    """Return a value as a person would write it."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def look_up(cells: dict[str, Any], name: str) -> Any:
    """Return the value under a name, dotted names reaching into objects and lists; MISSING without one."""
    if name in cells:
        return cells[name]
    value: Any = cells
    for key in name.split("."):
        if isinstance(value, dict) and key in value:
            value = value[key]
        elif isinstance(value, list) and key.isascii() and key.isdigit() and int(key) < len(value):
            value = value[int(key)]
        else:
            return MISSING
    return value


def has_columns(cells: dict[str, Any], mapping: Mapping) -> bool:
    """Whether a row has both the question's and the answer's column."""
    return all(look_up(cells, name) is not MISSING for name in (mapping.user, mapping.assistant) if name is not None)


def map_columns(cells: dict[str, Any], mapping: Mapping) -> list[Turn]:
    """Return the conversation that a mapping makes of a row."""
    roles: list[tuple[Role, str | None]] = [("system", mapping.system), ("user", mapping.user), ("assistant", mapping.assistant)]
    turns = []
    for role, name in roles:
        value = look_up(cells, name) if name is not None else None
        if value is MISSING and role == "system":
            value = None
        if value is MISSING:
            raise SetAside(f"there is no column {name!r} in this row")
        if isinstance(value, list | dict):
            raise SetAside(f"column {name!r} holds no text but {'a list' if isinstance(value, list) else 'an object'}")
        turns.append(Turn(role, as_text(value)))
    return finish(turns)


def mapped_names(mapping: Mapping) -> list[str]:
    """Return the columns that a mapping names."""
    return [name for name in (mapping.user, mapping.assistant, mapping.system) if name is not None]
