"""Predicted against measured: how far off estimates of past runs were, and what these runs have shown of their devices."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from app.domain.spans import Span
from app.domain.time_estimate import LEARNED_FROM, Sample, learned

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from app.domain.accelerators import Numbers
    from app.domain.time_estimate import Throughput

WINDOW = 10
"""The running error is the median of so many runs, the newest of them last: one odd run does not move it."""
STARTUP_SPREAD = 2.0
"""A start takes so many times less or more than any that was seen."""
COLD_SECONDS = 15.0
"""And as long at most, at least: after many runs that found a trainer at hand comes one that has to import its libraries (6 to 10 s)."""
LEAST_COMPUTED = 0.2
"""Of the time of a run that much was spent on steps, however long its answers are thought to have taken."""
ENOUGH_STEPS = 3
"""Shorter runs say more of starting than of training."""
OUTSIDE_TORCH = frozenset({"context", "margin"})
"""Parts of a GPU's memory that torch does not count among what it has allocated, which is what a run measures there."""


class Compared(NamedTuple):
    """What was predicted, with its range, and what was measured, in the same unit."""

    predicted: float
    low: float
    high: float
    measured: float

    @property
    def error(self) -> float:
        """By which share the prediction was too high; negative: too low."""
        return self.predicted / self.measured - 1

    @property
    def is_within(self) -> bool:
        """Whether it came out within the range that was told."""
        return self.low <= self.measured <= self.high


class Outcome(NamedTuple):
    """A run that has ended beside what was predicted of it; None where one of both is missing."""

    run_id: str
    name: str
    device: str
    ended_at: datetime | None
    is_elsewhere: bool
    """Whether it ran on another device than it was predicted for, so that nothing can be compared."""
    memory: Compared | None
    """Bytes."""
    time: Compared | None
    """Seconds, of runs that have done all their steps."""
    money: Compared | None
    """In `currency`, at the price that was assumed."""
    currency: str


class Shown(NamedTuple):
    """What a run has shown of its device in a precision: the operations of its steps, their seconds, and those before the first."""

    device: str
    sample: Sample
    startup: float
    numbers: Numbers


class Learned(NamedTuple):
    """What past runs say of a device: its rate by what they computed in, and the seconds before a first step."""

    rates: dict[Numbers, Throughput]
    startup: Span


class Accuracy(NamedTuple):
    """How good predictions of one thing were: of how many runs, the errors' median and worst, how often within the range."""

    runs: int
    median_error: float | None
    worst_error: float | None
    within: int


class _Span(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    low: float | None = None
    high: float | None = None


class _Memory(_Span):
    total: float
    parts: list[dict[str, Any]] = []


class _Time(_Span):
    seconds: float


class _Money(_Span):
    amount: float | None = None


class _Device(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    kind: str


class Foretold(BaseModel):
    """What a run's record keeps of the estimate it was launched with."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    device: _Device
    memory: _Memory
    time: _Time
    money: _Money
    currency: str = "USD"

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> Self | None:
        """Return what a record keeps; None where nothing was foretold."""
        try:
            return cls.model_validate(kept) if kept else None
        except ValidationError:
            return None

    def compare_memory(self, measured: float) -> Compared | None:
        """Return the memory beside its measured peak in bytes; on a GPU what torch allocates."""
        left_out = [part for part in self.memory.parts if self.device.kind == "gpu" and part.get("key") in OUTSIDE_TORCH]
        less = [sum(part.get(name, 0) for part in left_out) for name in ("bytes", "low", "high")]
        return _compared((self.memory.total, self.memory.low, self.memory.high), measured, less)

    def compare_time(self, measured: float) -> Compared | None:
        """Return the seconds beside those it was held."""
        return _compared((self.time.seconds, self.time.low, self.time.high), measured)

    def compare_money(self, seconds: float) -> Compared | None:
        """Return the money beside what the seconds it was held cost at the same price a second."""
        if not self.money.amount or self.time.seconds <= 0:
            return None
        return _compared((self.money.amount, self.money.low, self.money.high), self.money.amount / self.time.seconds * seconds)


def _compared(told: tuple[float, float | None, float | None], measured: float, less: Sequence[float] = (0, 0, 0)) -> Compared | None:
    middle = told[0] - less[0]
    low, high = (middle if each is None else each - off for each, off in zip(told[1:], less[1:], strict=True))
    return Compared(middle, low, high, measured) if measured > 0 and middle > 0 else None


def accuracy(compared: Iterable[Compared | None]) -> Accuracy:
    """Return how good some predictions were."""
    known = [each for each in compared if each]
    errors = [abs(each.error) for each in known]
    return Accuracy(len(known), median(errors) if errors else None, max(errors, default=None), sum(each.is_within for each in known))


def running(compared: Sequence[Compared]) -> list[float]:
    """Return the running error after each prediction, the oldest first: the median of the newest ones so far."""
    errors = [abs(each.error) for each in compared]
    return [median(errors[max(0, end - WINDOW) : end]) for end in range(1, len(errors) + 1)]


def computed(seconds: float, answering: float) -> float:
    """Return how many of a run's seconds its steps took, where its checks are thought to have answered for so long."""
    return max(seconds * LEAST_COMPUTED, seconds - answering)


def learned_of(shown: Iterable[Shown]) -> dict[str, Learned]:
    """Return what runs, the newest first, have shown of each device."""
    by_device: dict[str, list[Shown]] = {}
    for each in shown:
        if each.sample.flops > 0 and each.sample.seconds > 0:
            by_device.setdefault(each.device, []).append(each)
    return {device: _learned(found) for device, found in by_device.items()}


def _learned(shown: Sequence[Shown]) -> Learned:
    by_numbers: dict[Numbers, list[Sample]] = {}
    for each in shown:
        by_numbers.setdefault(each.numbers, []).append(each.sample)
    rates = {numbers: learned(samples, numbers) for numbers, samples in by_numbers.items()}
    return Learned(rates, _startup([each.startup for each in shown[:LEARNED_FROM]]))


def _startup(seen: Sequence[float]) -> Span:
    """Return what comes before a first step: a trainer that is at hand, and one that is not, differ by far more than runs do."""
    return Span(median(seen), min(seen) / STARTUP_SPREAD, max(COLD_SECONDS, max(seen) * STARTUP_SPREAD))
