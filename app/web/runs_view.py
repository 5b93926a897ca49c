"""A run as lists and its own page show it: numbers, words, curves."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from app.db import metrics
from app.db.metrics import Point
from app.domain.diagnosis import what_happened
from app.domain.figures import in_bytes
from app.domain.queueing import priority_of
from app.domain.runs import RunStatus
from app.web import looks, plot, words

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy.orm import Session

    from app.db import Run
    from app.services.overview import RunLine
    from app.services.waiting import Wait
    from app.web.looks import Look

CURVE_POINTS, TABLE_ROWS = 500, 60
TRAIN, HELD_OUT, EXACT = "train/loss", "eval/loss", "eval/exact_match"
IN_USE, PEAK = "memory/bytes", "memory/peak_bytes"
LAYOUT = ("layout", "layout_reason", "shared_share")
LAYOUTS = {
    "shared_prefix": "Rows side by side, nothing padded; hardly any begin alike", "packed": "Rows side by side, nothing padded",
    "padded": "Each row padded to a common length",
}  # fmt: skip
NEAR = 0.5
"""From this share of the memory on, the limit is drawn: below, it would only flatten the curve."""


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


@dataclass(frozen=True)
class Memory:
    """The memory a run takes; `total` is what its device has, once that is known."""

    in_use: list[Point]
    peak: list[Point]
    total: float | None
    is_gpu: bool

    @property
    def most(self) -> float:
        """The most it took so far."""
        return max(point.value for point in [*self.in_use, *self.peak])

    @property
    def sentence(self) -> str:
        """What it takes of what there is."""
        taken = in_bytes(self.in_use[-1].value if self.in_use else self.most)
        of = f" of {'the GPU' if self.is_gpu else 'this machine'}'s {in_bytes(self.total)}" if self.total else ""
        return f"{taken}{of}, {in_bytes(self.most)} at most"

    @property
    def share(self) -> float | None:
        """The most it took, as a share of what there is."""
        return self.most / self.total if self.total else None

    @property
    def table(self) -> list[tuple[int, float | None, float | None]]:
        """The values by step, newest first: in use, and the most until then."""
        in_use, peak = ({p.step: p.value for p in points} for points in (self.in_use, self.peak))
        shown = {p.step for p in metrics.thinned(self.in_use, TABLE_ROWS)} | {p.step for p in metrics.thinned(self.peak, TABLE_ROWS)}
        return [(step, in_use.get(step), peak.get(step)) for step in sorted(shown, reverse=True)]

    def drawing(self, total_steps: int) -> plot.Drawing:
        """Return the curves drawn by the server, the peak as a line that rises in steps."""
        named = {"in-use": self.in_use, "peak": _held(self.peak, self.in_use)}
        if self.share and self.share >= NEAR and self.total:
            named["limit"] = [Point(step, "limit", self.total) for step in (0, total_steps)]
        return plot.draw_bytes(named, total_steps)


def _held(peak: list[Point], in_use: list[Point]) -> list[Point]:
    """Return a peak as a line: it is told when it grows, and holds until then."""
    end = [point._replace(step=in_use[-1].step) for point in peak[-1:] if in_use and in_use[-1].step > point.step]
    risen = [later._replace(value=point.value) for point, later in pairwise(peak)]
    return sorted([*peak, *risen, *end], key=lambda point: (point.step, point.value))


def read_memory(session: Session, run: Run) -> Memory | None:
    """Read what memory a run takes; None while that is not known."""
    in_use, peak = metrics.read_each(session, run.id, (IN_USE, PEAK), CURVE_POINTS)
    if not in_use and not peak:
        return None
    return Memory(in_use, peak, run.facts.get("memory_total_bytes"), run.facts.get("device") == "cuda")


def facts_of(found: Mapping[str, Any]) -> dict[str, str]:
    """Return what the trainer chose (device, precision, layout …) as short texts."""
    shown = {name: value for name, value in found.items() if isinstance(value, str | int | float | bool) and name not in LAYOUT}
    layout = {"Layout": _layout(found), "Layout reason": str(found.get("layout_reason", ""))} if "layout" in found else {}
    return layout | {name.removesuffix("_bytes").replace("_", " ").capitalize(): _told(name, value) for name, value in shown.items()}


def _told(name: str, value: str | float | bool) -> str:  # noqa: FBT001 - any fact a trainer tells
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float) and name.endswith("_bytes"):
        return in_bytes(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:g}" if isinstance(value, float) else value[:200]


def _layout(found: Mapping[str, Any]) -> str:
    """Return how a step's rows were laid out, in words."""
    share = found.get("shared_share") or 0.0
    if found["layout"] == "shared_prefix" and 1 > share >= words.WORTH_TELLING:
        return f"Rows that begin alike are computed once: {1 / (1 - share):.1f} times fewer tokens"
    return LAYOUTS.get(found["layout"], str(found["layout"]))
