"""Which side a file itself puts its rows on: by a column, by the name of a list, or by the names of several files.

There are two sides, rows to learn from and rows kept aside. Validation rows are kept aside too, unless there are test rows: then those
are what is measured on, and the validation rows are learnt from, as one does before a last test.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from app.domain.datasets import Split

if TYPE_CHECKING:
    from collections.abc import Iterable

NO_LETTERS = re.compile(r"[^a-z]+")
COLUMNS = ("split", "Split", "subset", "partition")


class Side(StrEnum):
    """What a name can say."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


SIDES = {
    **dict.fromkeys(("train", "training", "trn"), Side.TRAIN),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev", "devel", "development"), Side.VALIDATION),
    **dict.fromkeys(("test", "testing", "tst", "eval", "evaluation", "heldout", "holdout"), Side.TEST),
}


def side_of(name: str | None) -> Side | None:
    """Return the side that a name speaks of: `oos_train`, `Testing_Dataset.csv`; None when it says nothing, or two things."""
    found = {SIDES[word] for word in NO_LETTERS.split(name.casefold()) if word in SIDES} if name else set()
    return found.pop() if len(found) == 1 else None


def side_in(cells: dict[str, Any]) -> Side | None:
    """Return the side that a row's own column names, and nothing else stands in."""
    for column in COLUMNS:
        value = cells.get(column)
        if isinstance(value, str):
            return SIDES.get(value.strip().casefold())
    return None


def by_names(names: Iterable[str]) -> dict[str, Side]:
    """Return the sides of several files by their names; none when all say the same, since then they tell nothing apart."""
    found = {name: side for name in names if (side := side_of(name))}
    return found if len(set(found.values())) > 1 else {}


class Sides:
    """Remembers which rows were given as validation, to decide at the end which side that is."""

    def __init__(self) -> None:
        self.counts = dict.fromkeys(Side, 0)
        self._validation = bytearray()

    def split(self, side: Side | None, row: int) -> Split | None:
        """Return where a row goes for the time being, and remember it."""
        if side is None:
            return None
        self.counts[side] += 1
        if side is Side.VALIDATION:
            self._validation.extend(bytes(row + 1 - len(self._validation)))
            self._validation[row] = 1
        return Split.TRAIN if side is Side.TRAIN else Split.TEST

    @property
    def are_learnt(self) -> bool:
        """Whether validation rows are to be learnt from after all."""
        return bool(self.counts[Side.TEST] and self.counts[Side.VALIDATION])

    def is_validation(self, row: int) -> bool:
        """Whether a row was given as a validation row."""
        return row < len(self._validation) and bool(self._validation[row])

    def note(self, rows_in_all: int) -> str | None:
        """Say what became of validation rows, if they are not all there is."""
        count = self.counts[Side.VALIDATION]
        if count in {0, rows_in_all}:
            return None
        rows = "1 validation row is" if count == 1 else f"{count:,} validation rows are"
        return f"{rows} learnt from, since there are test rows to hold out." if self.are_learnt else f"{rows} held out."
