"""Columns of rows while they pass by: their names, and a look at their values for whoever maps them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.domain.mapping import MAX_COLUMNS, MAX_NAME_CHARACTERS, as_text, flatten

if TYPE_CHECKING:
    from collections.abc import Iterable

SAMPLE_ROWS = 10
SAMPLE_CHARACTERS = 300


class Columns:
    """What is learnt about the columns of rows that fit no known shape, and of others."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = dict.fromkeys(names)
        self.sample: list[dict[str, str]] = []

    @property
    def names(self) -> list[str]:
        """All names, in the order they were first seen."""
        return list(self._names)

    def begin(self, names: Iterable[str]) -> None:
        """Take the header of a table."""
        for name in names:
            self._names.setdefault(name)

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
