"""A run as lists and its own page show it: numbers, words, curves."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from app.db import metrics
from app.domain.diagnosis import what_happened
from app.domain.queueing import priority_of
from app.domain.runs import RunStatus
from app.web import looks, plot, words

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy.orm import Session

    from app.db import Run
    from app.db.metrics import Point
    from app.services.overview import RunLine
    from app.services.waiting import Wait
    from app.web.looks import Look

CURVE_POINTS, TABLE_ROWS = 500, 60
TRAIN, HELD_OUT, EXACT = "train/loss", "eval/loss", "eval/exact_match"


@dataclass(frozen=True)
class Line:
    """One run in a list."""

    line: RunLine
    why: str
    wait: Wait | None

    @property
    def run(self) -> Run:
        """The run."""
        return self.line.run

    @property
    def look(self) -> Look:
        """Its state as shown."""
        return looks.run_look(self.run.status)

    @property
    def priority(self) -> str:
        """How urgent it is."""
        return priority_of(self.run.priority)

    @property
    def bar(self) -> str:
        """How its progress bar looks."""
        return {RunStatus.SUCCEEDED: "done"}.get(RunStatus(self.run.status), "" if looks.is_working(self.run.status) else "held")

    @property
    def base(self) -> str:
        """The base's short name: a folder is named by its last part."""
        return PurePath(self.run.base_model).name if "/" in self.run.base_model else self.run.base_model

    @property
    def dataset(self) -> str:
        """The dataset's name."""
        return self.line.dataset

    @property
    def dataset_id(self) -> str | None:
        """The dataset's id, unless it was deleted."""
        return self.line.dataset_id

    @property
    def owner(self) -> str:
        """Who launched it."""
        return self.line.owner

    @property
    def loss(self) -> float | None:
        """The newest held-out loss."""
        return self.line.latest.get(HELD_OUT)

    @property
    def exact_match(self) -> float | None:
        """The newest share of exact answers."""
        return self.line.latest.get(EXACT)


def lines(found: Iterable[RunLine], waiting: Mapping[str, Wait]) -> list[Line]:
    """Return runs for a list, each with why it is where it is."""
    return [_line(line, waiting.get(line.run.id)) for line in found]


def _line(line: RunLine, wait: Wait | None) -> Line:
    return Line(line, why(line.run, wait), wait)


def why(run: Run, wait: Wait | None) -> str:
    """Say why a run stands where it stands."""
    return wait.why if wait else f"{what_happened(run.error_code, run.reason)} {_paused(run)}".strip()


def _paused(run: Run) -> str:
    """Say that a paused run waits for nobody but a person, whether a person paused it or a full disk."""
    return f"Paused at step {words.count(run.step)}: it goes on when somebody resumes it." if run.status == RunStatus.PAUSED else ""


@dataclass(frozen=True)
class Row:
    """One step in the table of values."""

    step: int
    train: float | None
    held_out: float | None
    exact: float | None


@dataclass(frozen=True)
class Points:
    """A run's curves."""

    train: list[Point]
    held_out: list[Point]
    exact: list[Point]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to draw yet."""
        return not self.train and not self.held_out

    @cached_property
    def series(self) -> dict[str, Any]:
        """The curves for the drawing script: steps and values of each."""
        return {
            name: [[p.step for p in points], [plot.finite(p.value) for p in points]]
            for name, points in (("train", self.train), ("held_out", self.held_out), ("exact", self.exact))
        }

    @cached_property
    def table(self) -> list[Row]:
        """The values by step, newest first: every check on held-out rows, and training steps thinned."""
        train = {p.step: p.value for p in self.train}
        held_out, exact = {p.step: p.value for p in self.held_out}, {p.step: p.value for p in self.exact}
        thinned = {p.step for p in metrics.thinned(self.train, TABLE_ROWS)}
        steps = sorted(thinned | held_out.keys() | exact.keys(), reverse=True)
        return [Row(step, train.get(step), held_out.get(step), exact.get(step)) for step in steps]

    def drawing(self, total_steps: int) -> plot.Drawing:
        """Return the curves drawn by the server."""
        return plot.draw({"train": self.train, "held-out": self.held_out}, total_steps)


def read_points(session: Session, run_id: str) -> Points:
    """Read a run's curves, thinned so that they look the same."""
    return Points(*metrics.read_each(session, run_id, (TRAIN, HELD_OUT, EXACT), CURVE_POINTS))
