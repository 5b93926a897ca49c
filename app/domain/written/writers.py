"""Who writes which rows: the one table of writers, by the names that recipes call them."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from app.domain.written import gaps, sorting, summing_up, translating

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from app.domain.written.rows import Row, Words


class Writer(StrEnum):
    """A kind of task that rows can be written for."""

    GAPS = "gaps"
    SORTING = "sorting"
    SUMMING_UP = "summing_up"
    TRANSLATING = "translating"


WRITERS: dict[Writer, Callable[[Words, int, random.Random], list[Row]]] = {
    Writer.GAPS: gaps.rows,
    Writer.SORTING: sorting.rows,
    Writer.SUMMING_UP: summing_up.rows,
    Writer.TRANSLATING: translating.rows,
}
