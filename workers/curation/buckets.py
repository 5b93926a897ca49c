"""Which texts are worth comparing: those with equal bands, and how they lie together in buckets.

A band is made of the smallest shingles that a text has under a few orders. Two texts have the same smallest shingle as often as they are
alike, so near twins share one of many bands nearly for certain, and strangers hardly ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Places = NDArray[np.int64]
    Shingles = NDArray[np.uint32]

HALF = np.uint64(32)
FOLD = np.uint64(0x9E3779B97F4A7C15)
SLOTS_A_TEXT = 4


class Bands(NamedTuple):
    """How many bands a text has, and of how many smallest shingles each is made."""

    many: int
    width: int


BANDS = {1: Bands(16, 4), 2: Bands(16, 3), 3: Bands(10, 2), 4: Bands(10, 2), 5: Bands(10, 2)}
"""By the words of a shingle. Of pairs that are just as alike as they must be, one in 30,000 shares no band; of the shortest, one in 5,000:
many of them share single words by chance, which would crowd bands of fewer."""
ORDERS = np.random.default_rng(20).integers(0, 1 << 31, max(many * width for many, width in BANDS.values()), np.uint32) * 2 + 1
"""Odd factors: each puts all shingles into an order of its own."""


class Buckets(NamedTuple):
    """Texts that share a band, bucket by bucket and in order within each; and whether one is its bucket's first."""

    texts: NDArray[np.int32]
    is_first: NDArray[np.bool_]

    def pairs(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Return each bucket's first text as often as it has others, and these."""
        firsts = self.texts[self.is_first]
        return firsts[np.cumsum(self.is_first) - 1][~self.is_first], self.texts[~self.is_first]

    def split(self, most: int) -> tuple[Buckets, Buckets]:
        """Return the buckets of at most so many texts, and the others."""
        numbers = np.cumsum(self.is_first) - 1
        small = np.bincount(numbers)[numbers] <= most
        return Buckets(self.texts[small], self.is_first[small]), Buckets(self.texts[~small], self.is_first[~small])

    def only(self, wanted: NDArray[np.bool_]) -> Buckets:
        """Return what is left when some texts go, and with them the buckets in which only one stays."""
        return _crowded(self.texts[wanted], np.cumsum(self.is_first)[wanted])


def bands(shingles: Shingles, counts: Places, size: int) -> NDArray[np.uint32]:
    """Return every text's bands, one row for each; `counts` says how many of the shingles are whose.

    Half of a number is kept: chance makes some bands equal then, which costs a comparison each, but a million texts take little memory.
    """
    many, width = BANDS[size]
    starts = np.cumsum(counts) - counts
    found = np.zeros((many, len(counts)), np.uint64)
    ordered = np.empty_like(shingles)
    for place in range(many * width):
        np.multiply(shingles, ORDERS[place], out=ordered)
        band = found[place // width]
        band += np.minimum.reduceat(ordered, starts)
        band *= FOLD
        band ^= band >> HALF
    return found.astype(np.uint32)


def buckets(band: NDArray[np.uint32]) -> Buckets:
    """Return the texts that have the same value in a band as another text."""
    # Nearly all values stand alone, and a glance at their first bits says so for less than sorting them.
    bits = np.uint32(32 - (len(band) * SLOTS_A_TEXT).bit_length())
    slots = (band >> bits).astype(np.int64)
    busy = np.flatnonzero(np.bincount(slots)[slots] > 1).astype(np.int32)
    order = busy[np.argsort(band[busy], kind="stable")]
    return _crowded(order, band[order])


def _crowded(texts: NDArray[np.int32], values: NDArray[Any]) -> Buckets:
    """Return buckets of two and more, of texts that are sorted by value."""
    as_before = np.zeros(len(values) + 1, np.bool_)
    as_before[1:-1] = values[1:] == values[:-1]
    crowded = as_before[1:] | as_before[:-1]
    return Buckets(texts[crowded], ~as_before[:-1][crowded])
