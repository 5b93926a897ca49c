"""Groups of texts that say nearly the same: found by MinHash, each pair then compared by all of its shingles.

A group is its first text and what is like that one: whoever keeps one text of it loses little. Whole chains, in which each text is like
the next, would end at texts that have nothing to do with the first.

Texts come in batches and are not kept. What stays of each in memory are its bands, a hundred bytes or two; its shingles lie in a temporary
file until it is compared. That happens with the first texts of the buckets it is in, not with all of them: a million copies of a text cost
a million comparisons, and a million texts of one template a few million.
"""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
import pyarrow as pa

from workers.curation.buckets import BANDS, Buckets, bands, buckets
from workers.curation.shingles import blocks, hash_words, shingle_words, shingles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Flags = NDArray[np.bool_]
    Places = NDArray[np.int64]
    Some = NDArray[np.int32]
    Tell = Callable[[float], None]

THRESHOLD = 0.8
ALONE = -1
ROUNDS = 32
"""How many texts of a bucket the others are compared with, at most: in a bucket of no more, all with all."""
TURNS = 8
"""How often those look for another group whose first text has joined one itself; in the last turn it has to come back."""
LOOKS, READS = 100, 4
"""How many pairs are looked at for each text, and how often every shingle is read; what is found by then has to do."""
READ_AT_ONCE = 1 << 19
SHINGLE_BYTES = 4
NOTHING = np.uint32((1 << 32) - 1)
MARK = np.uint64(1)
MARK_BITS = np.uint64(58)
HALF = np.uint64(32)
ROUNDING = 1e-6


class NearTwins:
    """Takes texts batch by batch and finds groups of those that are nearly the same; a context manager, for its file."""

    def __init__(self, *, threshold: float = THRESHOLD, folder: Path | None = None) -> None:
        self._threshold = threshold
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by __exit__
        self._kept: dict[int, list[tuple[_Entries, NDArray[np.uint32]]]] = {size: [] for size in BANDS}
        self._texts = self._written = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, texts: pa.StringArray) -> None:
        """Take more texts."""
        for block in blocks(texts):
            words = hash_words(block)
            # Twins are compared by the shingles of the shorter one, so the longer one needs those too.
            shortest, own = shingle_words(np.ceil(words.counts * self._threshold).astype(np.int64)), shingle_words(words.counts)
            for size in range(int(shortest.min()), int(own.max()) + 1):
                chosen = np.flatnonzero((shortest <= size) & (size <= own) & (words.counts > 0))
                if len(chosen):
                    found, counts = shingles(words, chosen, size)
                    self._keep(size, found, counts, texts=chosen + self._texts, own=own[chosen] == size)
            self._texts += len(block)

    def _keep(self, size: int, found: NDArray[np.uint64], counts: Places, *, texts: Places, own: Flags) -> None:
        starts = np.cumsum(counts) - counts
        marks = np.bitwise_or.reduceat(MARK << (found >> MARK_BITS), starts)
        # Half a number is enough for what is compared as a set; not where a single number decides.
        marks[counts == 1] = found[starts[counts == 1]]
        halves = (found >> HALF).astype(np.uint32)
        entries = _Entries(texts.astype(np.int32), starts + self._written, counts.astype(np.int32), marks, own)
        self._kept[size].append((entries, bands(halves, counts, size)))
        self._file.write(halves.data)
        self._written += len(halves)

    def groups(self, tell: Tell) -> Places:
        """Return for each text the place of the first in its group, or -1 when it is alone; `tell` hears which share is done.

        This ends the search: what was kept of texts is let go, piece by piece.
        """
        self._file.flush()
        first = np.arange(self._texts)
        used = [size for size, kept in self._kept.items() if kept]
        for done, size in enumerate(used):
            kept = self._kept.pop(size)
            entries = _Entries(*(np.concatenate(column) for column in zip(*(entries for entries, _ in kept), strict=True)))
            every_band = (np.concatenate([found[band] for _, found in kept]) for band in range(len(kept[0][1])))

            def told(share: float, done: int = done) -> None:
                tell((done + share) / len(used))

            first = _Search(entries, self._file.fileno(), self._threshold).join(first, every_band, told)
        tell(1.0)
        return np.where(np.bincount(first)[first] > 1, first, ALONE)


def near_groups(texts: Sequence[str], *, threshold: float = THRESHOLD, tell: Tell = lambda _: None) -> Places:
    """Return for each text the place of the first in its group of near twins, or -1 when it is alone."""
    with NearTwins(threshold=threshold) as twins:
        twins.add(pa.array(texts, pa.string()))
        return twins.groups(tell)


class _Entries(NamedTuple):
    """Texts and their shingles of one size: where they start in the file, how many, a bit for some; and whether the size is the text's own.

    A bit is set when a shingle marks it. Texts whose bits differ much cannot be alike, whatever their shingles are.
    """

    texts: Some
    starts: Places
    counts: Some
    marks: NDArray[np.uint64]
    own: Flags


class _Search:
    """Groups near twins among the texts that have shingles of one size."""

    def __init__(self, entries: _Entries, descriptor: int, threshold: float) -> None:
        self._entries, self._descriptor, self._threshold = entries, descriptor, threshold
        self._looks, self._reads = LOOKS * len(entries.texts), READS * int(entries.counts.sum())
        self._refused: Places = np.empty(0, np.int64)
        self._rounds = 0

    def join(self, first: Places, every_band: Iterator[NDArray[np.uint32]], tell: Tell) -> Places:
        """Return the first text of each one's group, given those that are known already."""
        self._first = first
        # Twins have small buckets to themselves; the large ones are of what many texts share, and may take all the time there is.
        halves = [list(half) for half in zip(*(buckets(band).split(ROUNDS) for band in every_band), strict=True)]
        for turn in range(TURNS):
            for every in halves:
                self._go_through(every, tell)
            lost = np.flatnonzero(first[first] != first)
            if not len(lost):
                break
            free = lost if turn + 1 < TURNS else first[lost]
            first[free] = free
        return first

    def _go_through(self, every: list[Buckets], tell: Tell) -> None:
        for _ in range(ROUNDS):
            # Nearly all is done in the first turn.
            tell(min(1.0, self._rounds / (2 * ROUNDS)))
            self._rounds += 1
            every = [self._round(found) for found in every]

    def _round(self, found: Buckets) -> Buckets:
        """Compare the first text of each bucket with the others, and return what is left to compare."""
        texts = self._entries.texts[found.texts]
        found = found.only(self._first[texts] == texts)
        if not len(found.texts) or self._looks <= 0:
            return found
        left, right = found.pairs()
        self._looks -= len(left)
        self._compare(left, right)
        return found.only(~found.is_first)

    def _compare(self, left: Some, right: Some) -> None:
        """Put into the groups of texts on the left what is like them on the right, and remember the other pairs."""
        promising = self._promising(left, right)
        sizes = (self._entries.counts[left] + self._entries.counts[right])[promising]
        promising = promising[np.argsort(sizes, kind="stable")]
        left, right = left[promising], right[promising]
        alike = np.zeros(len(left), np.bool_)
        for part in _parts(np.sort(sizes)):
            alike[part] = self._overlap(left[part], right[part]) >= self._threshold
        self._first[self._entries.texts[right[alike]]] = self._entries.texts[left[alike]]
        self._refused = np.sort(np.concatenate((self._refused, _names(left[~alike], right[~alike]))), kind="stable")

    def _promising(self, left: Some, right: Some) -> Places:
        """Return the places of pairs that may be twins, for all that can be told without their shingles, as far as there is time."""
        _, _, counts, marks, own = self._entries
        both = counts[left] + counts[right]
        shorter = np.minimum(counts[left], counts[right])
        promising = (own[left] | own[right]) & (shorter >= self._threshold * (both - shorter))
        promising &= np.bitwise_count(marks[left] ^ marks[right]) * (1 + self._threshold) <= both * (1 - self._threshold) + ROUNDING
        places = np.flatnonzero(promising)
        places = places[~_among(_names(left[places], right[places]), self._refused)]
        places = places[np.cumsum(both[places]) <= self._reads]
        self._reads -= int(both[places].sum())
        return places

    def _overlap(self, left: Some, right: Some) -> NDArray[np.float64]:
        """Return for each pair which share of its shingles both have."""
        needed, place = np.unique(np.concatenate((left, right)), return_inverse=True)
        sets = self._read(self._entries.starts[needed], self._entries.counts[needed])
        sizes = np.count_nonzero(sets != NOTHING, axis=1)[place]
        # Each half is sorted, and merging two sorted runs is what the stable sort is quick at.
        both = np.sort(np.concatenate((sets[place[: len(left)]], sets[place[len(left) :]]), axis=1), axis=1, kind="stable")
        shared = np.count_nonzero((both[:, 1:] == both[:, :-1]) & (both[:, 1:] != NOTHING), axis=1)
        overlap: NDArray[np.float64] = shared / (sizes[: len(left)] + sizes[len(left) :] - shared)
        return overlap

    def _read(self, starts: Places, counts: Some) -> NDArray[np.uint32]:
        """Return the shingles of some texts, each shingle once, in order and filled up with nothing."""
        raw = b"".join(
            os.pread(self._descriptor, count * SHINGLE_BYTES, start * SHINGLE_BYTES)
            for count, start in zip(counts.tolist(), starts.tolist(), strict=True)
        )
        sets = np.full((len(counts), counts.max()), NOTHING)
        sets[np.arange(counts.max()) < counts[:, None]] = np.frombuffer(raw, np.uint32)
        sets.sort(axis=1)
        again = np.zeros(sets.shape, np.bool_)
        again[:, 1:] = sets[:, 1:] == sets[:, :-1]
        sets[again] = NOTHING
        sets[again.any(axis=1)] = np.sort(sets[again.any(axis=1)], axis=1)
        return sets


def _parts(sizes: Places) -> Iterator[slice]:
    """Yield slices of pairs, smaller ones first, that fit into memory when all take as much as the largest."""
    start = 0
    while start < len(sizes):
        ahead = sizes[start : start + 1 + READ_AT_ONCE // int(sizes[start])]
        stop = start + max(1, int(np.searchsorted(ahead * np.arange(1, len(ahead) + 1), READ_AT_ONCE, side="right")))
        yield slice(start, stop)
        start = stop


def _names(left: Some, right: Some) -> Places:
    """Return one number for each pair."""
    return left.astype(np.int64) << 32 | right


def _among(names: Places, known: Places) -> Flags:
    """Return which names are in a sorted list of them."""
    if not len(known):
        return np.zeros(len(names), np.bool_)
    found: Flags = known[np.minimum(np.searchsorted(known, names), len(known) - 1)] == names
    return found
