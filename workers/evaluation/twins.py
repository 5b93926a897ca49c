"""Which texts nearly repeat a text: each is compared with each, by the shingles that near twins are compared by.

Groups of near twins would not do: only their first text is like all of the others, so what is like a later one may be in no group.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa

from workers.curation.near import THRESHOLD
from workers.curation.shingles import LONGEST, Words, hash_words, shingle_words, shingles

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    Places = NDArray[np.int64]


def near_twins(asked: Sequence[str], texts: Sequence[str]) -> list[frozenset[int]]:
    """Return for each asked text the places of those that say nearly the same."""
    words = hash_words(pa.array([*asked, *texts], pa.string()))
    # Two texts are compared by the shingles of the shorter one, so the longer one needs those too.
    own, least = shingle_words(words.counts), shingle_words(np.ceil(words.counts * THRESHOLD).astype(np.int64))
    found = [set[int]() for _ in asked]
    for size in range(1, LONGEST + 1):
        chosen = np.flatnonzero((least <= size) & (size <= own) & (words.counts > 0))
        if not (chosen < len(asked)).any():
            continue
        counts = words.counts - size + 1
        for question, overlap in _overlaps(_shingled(words, chosen, size, len(asked)), len(words.counts)):
            shorter, longer = np.minimum(counts, counts[question]), np.maximum(counts, counts[question])
            alike = (overlap >= THRESHOLD) & (shorter >= THRESHOLD * longer) & (np.minimum(own, own[question]) == size)
            found[question].update(np.flatnonzero(alike[len(asked) :]).tolist())
    return [frozenset(places) for places in found]


class _Shingled(NamedTuple):
    """Texts and what they share with those asked: whose each shingle is, and its number; then how many different ones each text has."""

    texts: Places
    owners: Places
    numbers: Places
    many: Places
    asked: int


def _shingled(words: Words, chosen: Places, size: int, asked: int) -> _Shingled:
    found, counts = shingles(words, chosen, size)
    owners = np.repeat(chosen, counts)
    order = np.lexsort((found, owners))
    found, owners = found[order], owners[order]
    is_new = np.ones(len(found), np.bool_)
    is_new[1:] = (found[1:] != found[:-1]) | (owners[1:] != owners[:-1])
    found, owners = found[is_new], owners[is_new]
    many = np.bincount(owners, minlength=len(words.counts))
    known = np.unique(found[owners < asked])
    numbers = np.minimum(np.searchsorted(known, found), len(known) - 1)
    is_known = known[numbers] == found
    return _Shingled(chosen, owners[is_known], numbers[is_known], many, asked)


def _overlaps(shingled: _Shingled, texts: int) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Yield each asked text that has such shingles, and which share of its shingles and another's both have, for every text."""
    chosen, owners, numbers, many, asked = shingled
    for question in chosen[chosen < asked].tolist():
        mine = np.zeros(numbers.max() + 1, np.bool_)
        mine[numbers[slice(*np.searchsorted(owners, (question, question + 1)))]] = True
        shared = np.bincount(owners[mine[numbers]], minlength=texts)
        yield question, shared / (many[question] + many - shared)
