"""Predicted against measured as pages show it: one run's figures side by side, and how good all of them were."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from app.db.metrics import Point
from app.domain.figures import in_bytes, in_money, operations
from app.domain.time_estimate import SPELT
from app.web import words
from app.web.plot import SMALL, draw

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.domain.predictions import Accuracy, Compared, Learned, Outcome
    from app.domain.time_estimate import Throughput
    from app.services.predictions import Record
    from app.web.plot import Drawing

LEAST_POINTS = 2
"""One run is no curve."""
NEAR, FAR = 0.1, 0.25
"""Errors up to the first are good, beyond the second bad."""


class Told(NamedTuple):
    """One thing of one run in words: what was predicted, what it was, how far off that was."""

    name: str
    predicted: str
    span: str
    measured: str
    error: str
    tone: str
    is_within: bool


class Line(NamedTuple):
    """A run in the table."""

    outcome: Outcome
    memory: Told | None
    time: Told | None
    money: Told | None


class Figure(NamedTuple):
    """How good predictions of one thing were, in words."""

    name: str
    median: str
    more: str


class Device(NamedTuple):
    """What was learned of a device, in words."""

    name: str
    rate: str
    source: str
    startup: str


@dataclass(frozen=True)
class Panel:
    """What was foretold of one run beside what it took."""

    outcome: Outcome

    @property
    def told(self) -> list[Told]:
        """What can be compared."""
        return [each for each in _all_of(self.outcome) if each]

    @property
    def why_not(self) -> str:
        """Why nothing, or not all, is compared."""
        if self.outcome.is_elsewhere:
            return f"It ran on {self.outcome.device}, and was foretold for another device."
        return "" if self.outcome.time else "Time and cost are compared only of a run that has done all its steps."


@dataclass(frozen=True)
class Page:
    """All that is known of how good estimates were."""

    record: Record

    @property
    def lines(self) -> list[Line]:
        """The runs, newest first."""
        return [Line(each, *_all_of(each)) for each in self.record.outcomes]

    @property
    def figures(self) -> list[Figure]:
        """How good memory, time and money were."""
        told = (("Memory", self.record.memory), ("Time", self.record.time), ("Cost", self.record.money))
        return [_figure(name, found) for name, found in told]

    @property
    def devices(self) -> list[Device]:
        """What was learned of each device, by what was computed in."""
        return [_device(name, learned, rate) for name, learned in sorted(self.record.learned.items()) for rate in learned.rates.values()]

    @property
    def drawing(self) -> Drawing | None:
        """The running errors in per cent, from the oldest run to the newest; None while there are too few."""
        errors = {f"{name}-error": self.record.running(name) for name in ("memory", "time")}
        curves = {name: _points(name, found) for name, found in errors.items() if len(found) >= LEAST_POINTS}
        if not curves:
            return None
        most = max(len(found) for found in curves.values())
        return draw(curves, most, frame=SMALL, floor=0.0, say="{:.0f} %".format)

    @property
    def table(self) -> list[tuple[int, float | None, float | None]]:
        """The running errors as shares, by number of runs."""
        memory, time = self.record.running("memory"), self.record.running("time")
        return [(at + 1, _at(memory, at), _at(time, at)) for at in range(max(len(memory), len(time)))]


def _all_of(found: Outcome) -> tuple[Told | None, Told | None, Told | None]:
    cost = partial(in_money, currency=found.currency)
    return _told("Memory", found.memory, in_bytes), _told("Time", found.time, words.span), _told("Cost", found.money, cost)


def _told(name: str, found: Compared | None, spell: Callable[[float], str]) -> Told | None:
    if found is None:
        return None
    off = abs(found.error)
    tone = "ok" if off <= NEAR or found.is_within else "wait" if off <= FAR else "bad"
    span = f"{spell(found.low)} to {spell(found.high)}"
    return Told(name, spell(found.predicted), span, spell(found.measured), f"{found.error:+.1%}".replace("%", " %"), tone, found.is_within)


def _figure(name: str, found: Accuracy) -> Figure:
    if found.median_error is None or found.worst_error is None:
        return Figure(name, "–", "nothing to compare yet")
    runs = words.plural(found.runs, "run")
    return Figure(
        name, words.percent(found.median_error), f"{runs}, worst {words.percent(found.worst_error)}, {found.within} within the range"
    )


def _device(name: str, learned: Learned, rate: Throughput) -> Device:
    spelt = f"{operations(rate.flops_per_second)}/s in {SPELT[rate.numbers]}"
    return Device(name, spelt, words.plural(rate.samples, "run"), words.span(learned.startup.likely))


def _points(name: str, errors: list[float]) -> list[Point]:
    return [Point(at + 1, name, error * 100) for at, error in enumerate(errors)]


def _at(found: list[float], place: int) -> float | None:
    return found[place] if place < len(found) else None
