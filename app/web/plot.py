"""Curves drawn by the server, for readers without scripts."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from app.domain.figures import in_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from app.db.metrics import Point

LABEL_GAP = 15.0


@dataclass(frozen=True)
class Frame:
    """Where the axes stand in a drawing."""

    left: float = 52.0
    right: float = 700.0
    top: float = 14.0
    bottom: float = 232.0


WIDE, SMALL = Frame(), Frame(left=44.0, right=340.0, top=22.0, bottom=128.0)


@dataclass(frozen=True)
class Tick:
    """A labelled place on an axis."""

    at: float
    label: str


@dataclass(frozen=True)
class Curve:
    """One line, and its label at the line's end."""

    css: str
    path: str
    end_x: float
    label_y: float
    label: str


@dataclass(frozen=True)
class Drawing:
    """All the numbers an SVG needs."""

    x_ticks: list[Tick]
    y_ticks: list[Tick]
    curves: list[Curve]
    unit: str = ""


def finite(value: float) -> float | None:
    """Return the value, or None where JSON and axes have no word for it."""
    return value if math.isfinite(value) else None


SPARK_WIDTH, SPARK_HEIGHT, SPARK_EDGE = 72.0, 18.0, 2.0


def spark(points: Sequence[Point]) -> str:
    """Return a small curve as an SVG path, lower values lower; empty where there is nothing to compare."""
    points = [point for point in points if math.isfinite(point.value)]
    if len(points) < 2:  # noqa: PLR2004 - one value is no curve
        return ""
    low, high = min(p.value for p in points), max(p.value for p in points)
    first, last = points[0].step, points[-1].step

    def at(point: Point) -> str:
        x = SPARK_EDGE + (SPARK_WIDTH - 2 * SPARK_EDGE) * (point.step - first) / max(last - first, 1)
        y = SPARK_EDGE + (SPARK_HEIGHT - 2 * SPARK_EDGE) * ((high - point.value) / (high - low) if high > low else 0.5)
        return f"{x:.1f} {y:.1f}"

    return "M" + "L".join(at(point) for point in points)


def step_of(width: float, parts: int) -> float:
    """Return a round step (1, 2, 2.5, 5 × 10^n) that cuts `width` into about that many parts."""
    raw = width / parts
    power = 10.0 ** math.floor(math.log10(raw))
    return next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * 0.999)


def ticks(low: float, high: float, parts: int = 5) -> list[float]:
    """Return round numbers between `low` and `high`."""
    if not high > low:
        return [low]
    step = step_of(high - low, parts)
    first = math.ceil(low / step - 1e-9)
    return [round(n * step, 10) for n in range(first, math.floor(high / step + 1e-9) + 1)]


def draw(
    named: Mapping[str, Sequence[Point]], total_steps: int, *, frame: Frame = WIDE, floor: float | None = None,
    say: Callable[[float], str] = "{:.3f}".format,
) -> Drawing:  # fmt: skip
    """Return the drawing of some curves over steps, each ended by its name and, as `say` has it, its last value.

    `floor` is the least on the axis of values.
    """
    points = {name: [p for p in found if math.isfinite(p.value)] for name, found in named.items()}
    values = [p.value for found in points.values() for p in found]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    low = floor if floor is not None else min(0.0, low) if low < high * 0.3 else low
    high += 0.0 if high > low else 1.0
    steps = max(total_steps, 1)

    def x(step: float) -> float:
        return round(frame.left + (frame.right - frame.left) * min(step / steps, 1), 1)

    def y(value: float) -> float:
        return round(frame.bottom - (frame.bottom - frame.top) * (value - low) / (high - low), 1)

    curves = [
        Curve(
            name, "M" + " L".join(f"{x(p.step)} {y(p.value)}" for p in found), x(found[-1].step), y(found[-1].value) + 4,
            f"{name} {say(found[-1].value)}",
        )
        for name, found in points.items() if found
    ]  # fmt: skip
    return Drawing(
        [Tick(x(step), f"{step:g}") for step in ticks(0, steps)],
        [Tick(y(value), f"{value:g}") for value in ticks(low, high)],
        _apart(curves),
    )


def _apart(curves: Sequence[Curve]) -> list[Curve]:
    """Return curves with their labels moved down where they would stand on each other."""
    placed: list[Curve] = []
    for curve in sorted(curves, key=lambda curve: curve.label_y):
        least = placed[-1].label_y + LABEL_GAP if placed else curve.label_y
        placed.append(replace(curve, label_y=max(curve.label_y, least)))
    return placed


UNITS = {"kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}


def draw_bytes(named: Mapping[str, Sequence[Point]], total_steps: int) -> Drawing:
    """Return a small drawing of bytes over steps, from nothing up, in the largest unit that fits."""
    most = max((p.value for found in named.values() for p in found), default=0.0)
    unit = next((name for name, size in reversed(UNITS.items()) if most >= size), "kB")
    scaled = {name: [p._replace(value=p.value / UNITS[unit]) for p in found] for name, found in named.items()}
    drawn = draw(scaled, total_steps, frame=SMALL, floor=0.0, say=lambda value: in_bytes(value * UNITS[unit]))
    return replace(drawn, unit=unit)
