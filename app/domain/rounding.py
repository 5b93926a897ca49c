"""What becomes of one weight when it is written with fewer bits: the nearest number that each level can write, and how far off it is.

Floating point rounds every number for itself. Levels of 8 bits and fewer write a block of weights as small codes and one scale, so what a
weight becomes depends on its neighbours: on the largest of the block, and for ternary and 1 bit on the block's mean size.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

NF4 = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
    -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
)  # fmt: skip
"""The sixteen values of NF4: as many weights of a bell-shaped block fall to each (QLoRA, arXiv 2305.14314; the table of bitsandbytes)."""
LARGEST_INT8, LARGEST_INT4 = 127, 7
BLOCK = 64
"""Weights that share a scale, as in NF4."""


class Fields(NamedTuple):
    """The bits of a floating-point number, as they stand in memory."""

    sign: str
    exponent: str
    mantissa: str


@dataclass(frozen=True)
class Rounded:
    """A weight as one level writes it."""

    key: str
    value: float
    """What is read back."""
    error: float
    """What is read back, less what was to be written."""
    fields: Fields | None = None
    """The bits of a floating-point number; None of a code."""
    code: int | None = None
    """The code that is written; None of a floating-point number."""
    scale: float | None = None
    """What a code is multiplied by, shared by the block."""


class Layout(NamedTuple):
    """How many bits a floating-point number gives to what, and how Python packs it."""

    exponent: int
    mantissa: int
    format: str


FLOATS = {"fp32": Layout(8, 23, ">f"), "bf16": Layout(8, 7, ">f"), "fp16": Layout(5, 10, ">e")}


def as_float(weight: float, key: str) -> Rounded:
    """Return a weight in fp32, bf16 or fp16: the nearest there is, the even one of two that are equally near; OverflowError beyond them."""
    layout = FLOATS[key]
    pattern = int.from_bytes(struct.pack(layout.format, weight), "big")
    held = 8 * struct.calcsize(layout.format)
    if key == "bf16":
        # bf16 is the upper half of fp32; half of the last kept bit is added, less a little where that bit is even.
        pattern, held = (pattern + 0x7FFF + (pattern >> 16 & 1)) >> 16, 16
        value = struct.unpack(">f", (pattern << 16).to_bytes(4, "big"))[0]
    else:
        value = struct.unpack(layout.format, pattern.to_bytes(held // 8, "big"))[0]
    bits = f"{pattern:0{held}b}"
    return Rounded(key, value, value - weight, Fields(bits[0], bits[1 : 1 + layout.exponent], bits[1 + layout.exponent :]))


def as_integer(weight: float, largest: float, key: str, most: int) -> Rounded:
    """Return a weight as a whole number of -most to most steps, where `most` steps are the block's largest weight."""
    scale = largest / most
    code = max(-most, min(most, round(weight / scale)))
    return Rounded(key, code * scale, code * scale - weight, code=code, scale=scale)


def as_nf4(weight: float, largest: float) -> Rounded:
    """Return a weight as the nearest of the sixteen values of NF4, times the block's largest weight."""
    share = weight / largest
    above = min(bisect_left(NF4, share), len(NF4) - 1)
    code = min((max(above - 1, 0), above), key=lambda at: abs(NF4[at] - share))
    value = NF4[code] * largest
    return Rounded("nf4", value, value - weight, code=code, scale=largest)


def as_ternary(weight: float, mean_size: float) -> Rounded:
    """Return a weight as -1, 0 or 1, times the block's mean size (the rounding of BitNet b1.58, arXiv 2402.17764)."""
    code = max(-1, min(1, round(weight / mean_size)))
    return Rounded("ternary", code * mean_size, code * mean_size - weight, code=code, scale=mean_size)


def as_sign(weight: float, mean_size: float) -> Rounded:
    """Return a weight as its sign alone, times the block's mean size, which of all scales is the least wrong (XNOR-Net, 1603.05279)."""
    code = 1 if weight >= 0 else -1
    return Rounded("1bit", code * mean_size, code * mean_size - weight, code=code, scale=mean_size)


def bell(largest: float, size: int = BLOCK) -> tuple[float, ...]:
    """Return a block of weights spread as those of a trained layer are, near enough: a bell around zero, `largest` the farthest out."""
    normal = NormalDist()
    spread = [normal.inv_cdf((at + 0.5) / size) for at in range(size)]
    return tuple(largest * value / spread[-1] for value in spread)


@dataclass(frozen=True)
class Block:
    """A block of weights and one of them that is looked at."""

    weight: float
    weights: tuple[float, ...]

    @classmethod
    def around(cls, weight: float, largest: float) -> Block:
        """Return a bell-shaped block whose largest weight is `largest`, with `weight` among them."""
        return cls(weight, (weight, *bell(max(abs(weight), largest))))

    @property
    def largest(self) -> float:
        """The size of the largest weight."""
        return max(map(abs, self.weights))

    @property
    def mean_size(self) -> float:
        """The mean size of a weight, whatever its sign."""
        return sum(map(abs, self.weights)) / len(self.weights)

    def rounded(self, key: str, weight: float | None = None) -> Rounded:
        """Return one of its weights, the one looked at by default, as a level writes it."""
        weight = self.weight if weight is None else weight
        if key in FLOATS:
            return as_float(weight, key)
        match key:
            case "int8":
                return as_integer(weight, self.largest, key, LARGEST_INT8)
            case "int4":
                return as_integer(weight, self.largest, key, LARGEST_INT4)
            case "nf4":
                return as_nf4(weight, self.largest)
            case "ternary":
                return as_ternary(weight, self.mean_size)
        return as_sign(weight, self.mean_size)

    def typical_error(self, key: str) -> float:
        """Return the root of the mean squared error of the block as a share of its root mean square: 0.1 is a tenth of a typical weight."""
        wrong = sum(self.rounded(key, weight).error ** 2 for weight in self.weights)
        return float((wrong / sum(weight**2 for weight in self.weights)) ** 0.5)


LEVELS = (*FLOATS, "int8", "nf4", "int4", "ternary", "1bit")
"""The levels whose rounding is one idea, from the finest to the coarsest."""
