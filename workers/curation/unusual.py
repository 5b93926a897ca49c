"""What is unusual among the rows of a set: lengths, labels and languages that differ from those of nearly all others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from app.domain.problems import BITS, Trouble
from workers.curation.checks import ROWS_OF_A_LABEL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

FEWEST_ROWS_FOR_OUTLIERS = 20
TIMES_AS_LONG = 8
"""A length that is not so many times the middle one, or so many times shorter, is nothing unusual, however alike the others are."""
DEVIATIONS = 6
MOST_THAT_ARE_UNUSUAL = 0.05
"""Where more rows are like that, they are another kind of row, not mishaps."""
NORMAL = 1.4826
"""The standard deviation of normally distributed figures is so many times their median distance from the median."""
SHARE_OF_MAIN_LANGUAGE = 0.8
ROWS_OF_A_RARE_LABEL = 5
RARER_THAN_THE_MIDDLE = 20
OTHERS_ARE_SO_MANY_TIMES_MORE = 10


def flags_of_lengths(lengths: NDArray[np.int32]) -> NDArray[np.uint32]:
    """Flag what is many times longer or shorter than the others."""
    return np.where(_outliers(lengths), np.uint32(BITS[Trouble.LENGTH_OUTLIER]), np.uint32(0))


def _outliers(lengths: NDArray[np.int32]) -> NDArray[np.bool_]:
    if len(lengths) < FEWEST_ROWS_FOR_OUTLIERS:
        return np.zeros(len(lengths), np.bool_)
    logs = np.log(np.maximum(lengths, 1))
    distance = np.abs(logs - np.median(logs))
    found = np.asarray(distance > max(np.log(TIMES_AS_LONG), DEVIATIONS * NORMAL * float(np.median(distance))), np.bool_)
    return found if found.mean() <= MOST_THAT_ARE_UNUSUAL else np.zeros(len(lengths), np.bool_)


def flags_of_words(column: NDArray[np.int16], meaning: Sequence[str], wanted: set[str], trouble: Trouble) -> NDArray[np.uint32]:
    """Flag rows with one of the wanted words."""
    numbers = [number for number, word in enumerate(meaning) if word in wanted]
    return np.where(np.isin(column, numbers), np.uint32(BITS[trouble]), np.uint32(0))


def counted(column: NDArray[np.int16], meaning: Sequence[str], *, nothing: str | None = None) -> list[tuple[str, int]]:
    """Return words and their rows, the most frequent first."""
    counts = np.bincount(column[column >= 0], minlength=len(meaning)).tolist()
    found = [(word, many) for word, many in zip(meaning, counts, strict=True) if many and word != nothing]
    return sorted(found, key=lambda each: (-each[1], each[0]))


def counted_labels(column: NDArray[np.int16], meaning: Sequence[str]) -> list[tuple[str, int]] | None:
    """Return labels and their rows; None when there are too many for so few rows, or just one."""
    if len(meaning) < 2 or len(column) < ROWS_OF_A_LABEL * len(meaning):  # noqa: PLR2004 - one answer to all is no label
        return None
    return counted(column, meaning)


def rare_labels(labels: list[tuple[str, int]]) -> set[str]:
    """Return the labels with a handful of rows where others have many."""
    if not labels:
        return set()
    counts = [many for _, many in labels]
    few = max(ROWS_OF_A_RARE_LABEL, float(np.median(counts)) / RARER_THAN_THE_MIDDLE)
    return {label for label, many in labels if many < few and many * OTHERS_ARE_SO_MANY_TIMES_MORE <= counts[0]}


def other_languages(languages: list[tuple[str, int]]) -> set[str]:
    """Return the languages that a few rows are in, where most are in one; of a mix none is the wrong one."""
    if not languages or languages[0][1] < SHARE_OF_MAIN_LANGUAGE * sum(many for _, many in languages):
        return set()
    return {language for language, _ in languages[1:]}
