"""From columns to conversations: what a mapping makes of a row, for the page's preview and for the import alike."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping as Lookup
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from app.domain.datasets import Example, Mapping, Role, Turn
from app.domain.errors import Invalid
from app.domain.examples import SetAside, finish, judged

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MAX_COLUMNS = 200
MAX_NAME_CHARACTERS = 200
MAX_LIST_COLUMNS = 5
MAX_NAMES_TOLD = 30
MISSING = object()
"""What `look_up` returns where a row has no such column; an empty cell is something else."""
TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}")
ROLES = ("system", "user", "assistant", "rejected", "label", "text")
SPOKEN: tuple[Role, ...] = ("system", "user", "assistant")
Cells = Lookup[str, Any]


def apply(mapping: Mapping, cells: Cells) -> Example:
    """Return the example that a mapping makes of a row; SetAside where it makes none."""
    if mapping.text:
        return finish(Example([Turn("text", _said(cells, mapping.text))]))
    turns = [Turn(role, _said(cells, value, optional=role == "system")) for role in SPOKEN if (value := getattr(mapping, role))]
    rejected = [Turn("assistant", _said(cells, mapping.rejected))] if mapping.rejected else None
    return finish(Example(turns, rejected, _judgement(cells, mapping.label) if mapping.label else None))


def has_columns(cells: Cells, mapping: Mapping) -> bool:
    """Whether a row has all that the mapping wants; its system turn may be missing."""
    wanted = (getattr(mapping, role) for role in ROLES if role != "system")
    return all(not absent(cells, value) for value in wanted if value)


def absent(cells: Cells, value: str) -> list[str]:
    """Return the columns that a role's value names and a row lacks."""
    if look_up(cells, value) is not MISSING:
        return []
    names = placeholders(value)
    return [name for name in names if look_up(cells, name) is MISSING] if names else [value]


def check_columns(mapping: Mapping, columns: Sequence[str]) -> None:
    """Raise Invalid naming the role and the columns there are, when a mapping names one that is not there."""
    there_are = dict.fromkeys(columns)
    for role in ROLES:
        value = getattr(mapping, role)
        for name in absent(there_are, value) if value else ():
            raise no_such_column(name, columns, param=f"mapping.{role}")


def no_such_column(name: str, columns: Sequence[str], *, param: str = "mapping") -> Invalid:
    """Return the error for a column that is not there; it names those that are."""
    shown = ", ".join(columns[:MAX_NAMES_TOLD]) + (" …" if len(columns) > MAX_NAMES_TOLD else "")
    return Invalid(f"There is no column {name[:100]!r}; there are: {shown or 'none'}.", param=param, code="unknown_column")


def values_of(mapping: Mapping) -> list[str]:
    """Return what a mapping says of its roles: names of columns and texts with placeholders."""
    return [value for role in ROLES if (value := getattr(mapping, role))]


@lru_cache(maxsize=256)
def placeholders(template: str) -> tuple[str, ...]:
    """Return the columns that a text names in braces; doubled braces are braces."""
    return tuple(dict.fromkeys(name for name in TOKEN.findall(template) if name))


def _said(cells: Cells, value: str, *, optional: bool = False) -> str:
    found = look_up(cells, value)
    if found is not MISSING:
        return _as_words(found, value)
    if not placeholders(value):
        if optional:
            return ""
        raise SetAside(f"there is no column {value!r} in this row")
    return TOKEN.sub(lambda token: _filled(cells, token), value)


def _filled(cells: Cells, token: re.Match[str]) -> str:
    name = token.group(1)
    if not name:
        return token.group()[:1] if name is None else token.group()
    found = look_up(cells, name)
    if found is MISSING:
        raise SetAside(f"there is no column {name!r} in this row")
    return _as_words(found, name)


def _as_words(value: Any, name: str) -> str:
    if isinstance(value, list | dict):
        raise SetAside(f"column {name!r} holds no text but {'a list' if isinstance(value, list) else 'an object'}")
    return as_text(value)


def _judgement(cells: Cells, value: str) -> bool:
    said = _said(cells, value)
    verdict = judged(said)
    if verdict is None:
        raise SetAside(f"column {value!r} says {said[:40]!r}, which is neither good nor bad")
    return verdict


def as_text(value: Any) -> str:
    """Return a value as a person would write it."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def look_up(cells: Cells, name: str) -> Any:
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


def flatten(cells: Cells) -> dict[str, Any]:
    """Return a row's values by dotted name: objects by their keys, lists by the places of their first elements."""
    found: dict[str, Any] = {}
    pending: list[tuple[str, Any]] = list(cells.items())[::-1]
    while pending and len(found) < MAX_COLUMNS:
        name, value = pending.pop()
        children: Iterable[tuple[Any, Any]] = ()
        if isinstance(value, dict):
            children = value.items()
        elif isinstance(value, list):
            children = enumerate(value[:MAX_LIST_COLUMNS])
        if children and value:
            pending += reversed([(f"{name}.{key}", child) for key, child in children])
        elif len(name) <= MAX_NAME_CHARACTERS:
            found[name] = value
    return found
