"""Comparing runs: how many at once, which of several scores is best, and when scores say nothing about each other."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.domain.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

LEAST, MOST = 2, 6
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How a cell begins that a spreadsheet would calculate."""


@dataclass(frozen=True)
class Measure:
    """A score: what it is called, and whether less of it is better."""

    name: str
    label: str
    lower_is_better: bool
    is_of_quality: bool = False


MEASURES = (
    Measure("eval/loss", "Held-out loss, last", lower_is_better=True, is_of_quality=True),
    Measure("eval/loss:best", "Held-out loss, best", lower_is_better=True, is_of_quality=True),
    Measure("eval/exact_match", "Exact match, last", lower_is_better=False, is_of_quality=True),
    Measure("train/loss", "Training loss, last", lower_is_better=True),
    Measure("train/tokens_per_second", "Tokens per second", lower_is_better=False),
    Measure("memory/peak_bytes", "Peak memory", lower_is_better=True),
    Measure("seconds", "Time", lower_is_better=True),
)
RANKED = frozenset({"eval/loss", "eval/loss:best", "eval/exact_match", "train/tokens_per_second", "memory/peak_bytes", "seconds"})
"""A low training loss is no merit by itself, so none is called best."""


@dataclass(frozen=True)
class Score:
    """One measure of all runs; `best` holds the places of the best ones, none where they cannot be ranked."""

    measure: Measure
    values: tuple[float | None, ...]
    best: frozenset[int]


def score(measure: Measure, values: Sequence[float | None], *, comparable: bool) -> Score:
    """Return a score with its best: only among two or more, that differ, and that were measured on the same."""
    found = [value for value in values if value is not None]
    may_rank = comparable and measure.name in RANKED and len(found) >= LEAST and len(set(found)) > 1
    best = (min(found) if measure.lower_is_better else max(found)) if may_rank else None
    return Score(measure, tuple(values), frozenset(place for place, value in enumerate(values) if best is not None and value == best))


def parse_ids(given: Iterable[str]) -> list[str]:
    """Return the runs somebody named, each once, in their order; both `a,b` and one at a time will do."""
    named = [part.strip() for one in given for part in one.split(",")]
    return list(dict.fromkeys(part for part in named if part))


def check_count(ids: Sequence[str]) -> None:
    """Raise Invalid unless that many runs can be compared."""
    if not LEAST <= len(ids) <= MOST:
        many = "Name at least two runs" if len(ids) < LEAST else f"{len(ids)} runs are too many to read at once: name {MOST} at most"
        raise Invalid(f"{many}.", param="ids", code="number_of_runs")


def csv_of(rows: Iterable[Sequence[object]]) -> str:
    """Return rows as CSV (RFC 4180) in which no cell is a formula."""
    written = io.StringIO()
    csv.writer(written).writerows([[_plain(cell) for cell in row] for row in rows])
    return written.getvalue()


def _plain(cell: object) -> object:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else cell
