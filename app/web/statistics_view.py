"""The figures of a dataset's rows: token histograms as drawings with a table behind each, labels, languages, what was found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from app.web.plot import ticks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LEFT, RIGHT, TOP, BOTTOM = 44.0, 460.0, 10.0, 130.0
SHOWN = 20


class Bar(NamedTuple):
    """One bar of a histogram: where it stands, and what it counts."""

    x: float
    y: float
    width: float
    height: float
    low: int
    high: int
    many: int


class Tick(NamedTuple):
    """A labelled place on an axis."""

    at: float
    label: str


@dataclass(frozen=True)
class Histogram:
    """How many rows have how many tokens."""

    title: str
    bars: list[Bar]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    figures: list[tuple[str, int]]


class Share(NamedTuple):
    """One of several kinds: how many rows, and its part of the most frequent one."""

    name: str
    many: int
    share: float


def histogram(title: str, found: Mapping[str, Any] | None) -> Histogram | None:
    """Return a histogram of a summary as a drawing; the bins are as wide as one another, since they grow by steps."""
    bins = _grouped([each for each in (found or {}).get("bins", ()) if each])
    if not found or not bins:
        return None
    most = max(many for *_, many in bins) or 1
    width = (RIGHT - LEFT) / len(bins)
    bars = [
        Bar(round(LEFT + place * width + 1, 1), round(BOTTOM - (BOTTOM - TOP) * many / most, 1), round(width - 2, 1),
            round((BOTTOM - TOP) * many / most, 1), low, high, many)
        for place, (low, high, many) in enumerate(bins)
    ]  # fmt: skip
    each = max(1, len(bins) // 6)
    x_ticks = [Tick(round(LEFT + place * width, 1), f"{bins[place][0]:,}") for place in range(0, len(bins), each)]
    y_ticks = [Tick(round(BOTTOM - (BOTTOM - TOP) * value / most, 1), f"{value:,.0f}") for value in ticks(0, most, 3)]
    names = (("min", "least"), ("median", "half have at most"), ("p95", "19 of 20 have at most"), ("max", "most"), ("sum", "all together"))
    return Histogram(title, bars, x_ticks, y_ticks, [(word, found[name]) for name, word in names if name in found])


def _grouped(bins: Sequence[Sequence[int]]) -> list[tuple[int, int, int]]:
    """Return the bins from the first that counts anything to the last."""
    full = [place for place, each in enumerate(bins) if each[2]]
    return [(low, high, many) for low, high, many in bins[full[0] : full[-1] + 1]] if full else []


def shares(counted: Sequence[Sequence[Any]] | None) -> list[Share]:
    """Return counted kinds with their bars, the most frequent first."""
    most = max((many for _, many in counted or ()), default=1) or 1
    return [Share(str(name), many, many / most) for name, many in counted or ()]
