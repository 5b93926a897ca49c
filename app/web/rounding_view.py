"""One weight at every level as a page draws it: the bits of floating-point numbers, and the line of values that codes stand for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.domain.precisions import PRECISIONS
from app.domain.rounding import FLOATS, LARGEST_INT4, LARGEST_INT8, LEVELS, NF4, Block, Rounded

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH, EDGE = 640.0, 12.0
"""Of a line that codes are drawn on, and what is left free at its ends."""
DIGITS = 10
"""From so many percent on, an error is told in whole percent."""


@dataclass(frozen=True)
class Drawn:
    """The weight as one level writes it."""

    rounded: Rounded
    label: str
    off: str
    typical: str
    how: str
    line: str
    """A path with a stroke for each value the level can write; empty of floating point, which has too many."""
    at: float
    nearest: float


@dataclass(frozen=True)
class Idea:
    """One weight of a block at every level."""

    block: Block

    @property
    def floats(self) -> list[Drawn]:
        """The levels that are floating point."""
        return [self._draw(self.block.rounded(key)) for key in LEVELS if key in FLOATS]

    @property
    def codes(self) -> list[Drawn]:
        """The levels that write codes and a scale, from the finest to the coarsest."""
        return [self._draw(self.block.rounded(key)) for key in LEVELS if key not in FLOATS]

    @property
    def ends(self) -> list[tuple[float, float]]:
        """Where the lines begin, have their middle and end, with the values that are there."""
        largest = self.block.largest
        return [(self._x(value), value) for value in (-largest, 0.0, largest)]

    def _draw(self, rounded: Rounded) -> Drawn:
        key, typical = rounded.key, 100 * self.block.typical_error(rounded.key)
        line = "".join(f"M{self._x(value):g} 8v16" for value in code_values(key, self.block))
        return Drawn(
            rounded, PRECISIONS[key].label, off_by(rounded, self.block.weight), _percent(typical), _how(rounded), line,
            self._x(self.block.weight), self._x(rounded.value),
        )  # fmt: skip

    def _x(self, value: float) -> float:
        return round(EDGE + (WIDTH - 2 * EDGE) * (value / self.block.largest + 1) / 2, 1)


def code_values(key: str, block: Block) -> Sequence[float]:
    """Return all that a level of codes can write in a block; nothing for floating point."""
    if key in FLOATS:
        return ()
    if key == "nf4":
        return [block.largest * value for value in NF4]
    steps = {"int8": LARGEST_INT8, "int4": LARGEST_INT4}.get(key)
    if steps:
        return [block.largest * code / steps for code in range(-steps, steps + 1)]
    return [block.mean_size * code for code in ((-1, 0, 1) if key == "ternary" else (-1, 1))]


def off_by(rounded: Rounded, weight: float) -> str:
    """Return how far off a level is, in percent of the weight; of zero there is no share, and of the tiniest weights none to tell."""
    if not rounded.error:
        return "exact"
    if not weight:
        return f"{rounded.error:+.3g}"
    share = 100 * rounded.error / weight
    return _percent(share, sign="+") if math.isfinite(share) else "lost"


def _percent(share: float, sign: str = "") -> str:
    return f"{share:{sign}.0f} %" if abs(share) >= DIGITS else f"{share:{sign}.2g} %"


def _how(rounded: Rounded) -> str:
    """Return how the value that is read back comes about."""
    if rounded.code is None or rounded.scale is None:
        return ""
    if rounded.key == "nf4":
        return f"code {rounded.code}: {NF4[rounded.code]:.4f} × {rounded.scale:.4g}"
    return f"code {rounded.code} × {rounded.scale:.4g}"
