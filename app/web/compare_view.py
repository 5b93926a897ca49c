"""Compared runs as their page shows them: letters, curves for the drawing script, scores in words, and a file to take away."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from app.db import metrics
from app.domain.comparison import csv_of
from app.domain.figures import in_bytes
from app.web import plot, words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.db.metrics import Point
    from app.domain.comparison import Score
    from app.services.comparison import Comparison
    from app.web.runs_view import Line

LETTERS = "ABCDEF"
TABLE_ROWS = 40
SAYS: dict[str, Callable[[float | None], str]] = {
    "eval/exact_match": words.percent, "train/tokens_per_second": words.count, "memory/peak_bytes": in_bytes, "seconds": words.span,
}  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """One run's value of a score; `exact` is what a pointer held over it tells."""

    text: str
    exact: str
    is_best: bool


@dataclass(frozen=True)
class Beside:
    """Compared runs for the page."""

    comparison: Comparison
    lines: Sequence[Line]

    @property
    def letters(self) -> str:
        """What each run is called in drawings and tables."""
        return LETTERS[: len(self.lines)]

    @property
    def query(self) -> str:
        """The address's way to name these runs."""
        return ",".join(run.id for run in self.comparison.runs)

    @property
    def topics(self) -> str:
        """What the page listens to while any of the runs lives."""
        return ",".join(f"run:{run.id}" for run in self.comparison.runs)

    @property
    def is_empty(self) -> bool:
        """Whether there is no curve to draw."""
        return not any(curves.train or curves.held_out for curves in self.comparison.curves)

    @cached_property
    def series(self) -> list[dict[str, Any]]:
        """The curves for the drawing script."""
        both = zip(self.letters, self.lines, self.comparison.curves, strict=True)
        return [
            {"letter": letter, "name": line.run.name, "train": _columns(curves.train), "held_out": _columns(curves.held_out)}
            for letter, line, curves in both
        ]

    @cached_property
    def steps(self) -> list[tuple[int, list[tuple[float | None, float | None]]]]:
        """The values by step, newest first: every check on held-out rows, and training steps thinned."""
        by_step = [
            ({p.step: p.value for p in curves.train}, {p.step: p.value for p in curves.held_out}) for curves in self.comparison.curves
        ]
        wanted = {p.step for curves in self.comparison.curves for p in (*metrics.thinned(curves.train, TABLE_ROWS), *curves.held_out)}
        return [(step, [(train.get(step), held_out.get(step)) for train, held_out in by_step]) for step in sorted(wanted, reverse=True)]

    def cells(self, one: Score) -> list[Cell]:
        """Return a score as a row of cells."""
        say = SAYS.get(one.measure.name, words.number)
        return [Cell(say(value), "" if value is None else repr(value), place in one.best) for place, value in enumerate(one.values)]

    def drawing(self) -> plot.Drawing:
        """Return the held-out curves drawn by the server."""
        named = {letter: curves.held_out or curves.train for letter, curves in zip(self.letters, self.comparison.curves, strict=True)}
        return plot.draw(named, max(run.total_steps for run in self.comparison.runs))

    def csv(self) -> str:
        """Return scores and settings as a table with a column for each run."""
        runs = self.comparison.runs
        rows: list[Sequence[object]] = [
            ["", *(run.name for run in runs)], ["id", *(run.id for run in runs)], ["state", *(run.status for run in runs)],
            ["launched by", *(line.owner for line in self.lines)], ["steps", *(run.step for run in runs)],
        ]  # fmt: skip
        rows += [[one.measure.name, *("" if value is None else value for value in one.values)] for one in self.comparison.scores]
        rows += [[row.label, *row.values] for row in self.comparison.all_rows]
        return csv_of(rows)


def _columns(points: Sequence[Point]) -> list[list[float | None]]:
    return [[point.step for point in points], [plot.finite(point.value) for point in points]]
