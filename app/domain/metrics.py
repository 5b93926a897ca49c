"""How right an answer is, row by row and over all rows: each measure is between 0 and 1, and each mean says how far chance may reach.

Scores are kept for each row, so that two ways of answering can later be compared on the very same rows.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections import Counter
from enum import StrEnum
from statistics import NormalDist, fmean, median, stdev
from typing import TYPE_CHECKING, Any, NamedTuple

from rapidfuzz.distance import Indel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Z = NormalDist().inv_cdf(0.975)
"""Intervals hold the truth 95 times in 100."""
MOST_LABELS, LABEL_WORDS, ROWS_A_LABEL = 20, 5, 3
"""Answers count as labels when there are so few of them, so short, each given so often on average."""
SHORT_WORDS = 8
"""Answers of so many words at most, in the middle of all, are right or wrong as a whole; longer ones are rather more or less alike."""
JSON_SHARE = 0.9
LONGEST = 20_000
"""Characters of an answer that are compared; nobody expects more of one row."""
FENCE = re.compile(r"^```[a-zA-Z]*\s*\n(.*?)\n?```$", re.DOTALL)
WORD = re.compile(r"\w+")


class Metric(StrEnum):
    """A way to say how right one answer is."""

    LABEL = "label"
    EXACT = "exact"
    NORMALISED = "normalised"
    JSON_FIELDS = "json_fields"
    JSON_SAME = "json_same"
    JSON_VALID = "json_valid"
    TOKEN_F1 = "token_f1"  # noqa: S105 - no password
    SIMILARITY = "similarity"


class Shape(StrEnum):
    """What expected answers look like, which decides what is measured."""

    LABELS = "labels"
    JSON = "json"
    SHORT = "short"
    TEXT = "text"


TITLES: dict[Metric, tuple[str, str]] = {
    Metric.LABEL: ("Label right", "The one label that the answer names is the expected one"),
    Metric.EXACT: ("Exact", "The same to the letter"),
    Metric.NORMALISED: ("Same words", "The same but for capital letters, spaces and punctuation around it"),
    Metric.JSON_FIELDS: ("Fields right", "Share of the expected JSON fields that have the expected value"),
    Metric.JSON_SAME: ("Whole JSON right", "Every field as expected, and none besides"),
    Metric.JSON_VALID: ("Valid JSON", "The answer can be read as JSON"),
    Metric.TOKEN_F1: ("Words in common", "Words that answer and expected answer share, against all they have (F1)"),
    Metric.SIMILARITY: ("Similarity", "Share of characters that stay when one is changed into the other"),
}
"""What people call each measure, and what it is in a sentence."""
OF_SHAPE: dict[Shape, tuple[Metric, ...]] = {
    Shape.LABELS: (Metric.LABEL, Metric.NORMALISED, Metric.EXACT),
    Shape.JSON: (Metric.JSON_FIELDS, Metric.JSON_SAME, Metric.JSON_VALID),
    Shape.SHORT: (Metric.NORMALISED, Metric.EXACT, Metric.TOKEN_F1, Metric.SIMILARITY),
    Shape.TEXT: (Metric.SIMILARITY, Metric.TOKEN_F1, Metric.NORMALISED),
}
"""What is measured of answers of each shape; the first is what they are compared by."""
FITTING: dict[Shape, frozenset[Metric]] = {
    Shape.LABELS: frozenset(),
    Shape.JSON: frozenset({Metric.JSON_FIELDS, Metric.JSON_SAME}),
    Shape.SHORT: frozenset({Metric.EXACT, Metric.NORMALISED, Metric.TOKEN_F1, Metric.SIMILARITY}),
    Shape.TEXT: frozenset({Metric.EXACT, Metric.NORMALISED, Metric.TOKEN_F1, Metric.SIMILARITY}),
}
"""What answers of each shape may be compared by instead, where it is known what they are for."""
SHARES = frozenset({Metric.LABEL, Metric.EXACT, Metric.NORMALISED, Metric.JSON_SAME, Metric.JSON_VALID})
"""Measures that are 0 or 1 in each row, so that their mean is a share of rows."""


class Score(NamedTuple):
    """A mean over rows, and the 95 % interval around it."""

    value: float
    low: float
    high: float

    @property
    def margin(self) -> float:
        """How far the interval reaches to its wider side."""
        return max(self.high - self.value, self.value - self.low)


def normalised(text: str) -> str:
    """Return a text without what people do not see as a difference: capitals, runs of spaces, punctuation at its ends, ways to encode."""
    plain = " ".join(unicodedata.normalize("NFKC", text[:LONGEST]).casefold().split())
    return plain.strip(" .,;:!?\"'`()[]")


def shape_of(expected: Sequence[str]) -> Shape:
    """Return what expected answers look like; `expected` are those of training rows, of which there are more."""
    if not expected:
        return Shape.TEXT
    if sum(isinstance(json_in(each), dict | list) for each in expected) >= JSON_SHARE * len(expected):
        return Shape.JSON
    if labels_in(expected):
        return Shape.LABELS
    return Shape.SHORT if median(len(each.split()) for each in expected) <= SHORT_WORDS else Shape.TEXT


def labels_in(expected: Sequence[str]) -> frozenset[str]:
    """Return the labels that answers are chosen from, normalised; none when they are no small closed set."""
    found = Counter(map(normalised, expected))
    is_closed = 1 < len(found) <= MOST_LABELS and len(expected) >= ROWS_A_LABEL * len(found)
    return frozenset(found) if is_closed and all(0 < len(each.split()) <= LABEL_WORDS for each in found) else frozenset()


def measures_of(shape: Shape, wanted: Metric | None = None) -> tuple[Metric, ...]:
    """Return what is measured of answers of a shape, first what they are compared by: what is wanted for their purpose, if it fits."""
    usual = OF_SHAPE[shape]
    return usual if wanted is None or wanted not in FITTING[shape] else tuple(dict.fromkeys((wanted, *usual)))


def scores_of(
    shape: Shape, expected: str, answer: str, labels: frozenset[str] = frozenset(), wanted: Metric | None = None
) -> dict[Metric, float]:
    """Return every measure of one answer."""
    return {metric: _MEASURES[metric](expected[:LONGEST], answer[:LONGEST], labels) for metric in measures_of(shape, wanted)}


def score(metric: Metric, values: Sequence[float]) -> Score:
    """Return the mean of a measure over rows, with its interval: Wilson's for shares, Student's for other means."""
    return wilson(sum(values), len(values)) if metric in SHARES else mean_interval(values)


def wilson(successes: float, rows: int) -> Score:
    """Return a share with Wilson's interval, which holds for few rows and for shares near 0 and 1 too."""
    if not rows:
        return Score(0.0, 0.0, 1.0)
    share, square = successes / rows, Z * Z
    middle = (share + square / (2 * rows)) / (1 + square / rows)
    half = Z * math.sqrt(share * (1 - share) / rows + square / (4 * rows * rows)) / (1 + square / rows)
    return Score(share, max(0.0, middle - half), min(1.0, middle + half))


def mean_interval(values: Sequence[float]) -> Score:
    """Return the mean of values between 0 and 1 with Student's interval; values that are all the same say no more than shares would."""
    spread = stdev(values) if len(values) > 1 else 0.0
    if not spread:
        return wilson(sum(values), len(values))
    mean, half = fmean(values), _student(len(values) - 1) * spread / math.sqrt(len(values))
    return Score(mean, max(0.0, mean - half), min(1.0, mean + half))


def _student(freedom: int) -> float:
    """Return Student's 97.5 % quantile by Cornish and Fisher's series, within 1 %; the first two, which it misses, are written down."""
    if freedom <= 2:  # noqa: PLR2004 - the two that are written down
        return (12.706, 4.303)[freedom - 1]
    first = (Z**3 + Z) / 4
    second = (5 * Z**5 + 16 * Z**3 + 3 * Z) / 96
    third = (3 * Z**7 + 19 * Z**5 + 17 * Z**3 - 15 * Z) / 384
    return Z + first / freedom + second / freedom**2 + third / freedom**3


def json_in(answer: str) -> Any:
    """Return what an answer says as JSON, also from between fences of Markdown; None when it is none."""
    text = answer.strip()
    fenced = FENCE.match(text)
    try:
        return json.loads(fenced[1] if fenced else text)
    except (ValueError, RecursionError):
        return None


def label_in(answer: str, labels: frozenset[str]) -> str | None:
    """Return the one label that an answer is or names; None when it names none or several."""
    said = normalised(answer)
    if said in labels:
        return said
    found = {label for label in labels if re.search(rf"(?<!\w){re.escape(label)}(?!\w)", said)}
    # "urgent" is no label of its own in "not urgent".
    longest = {label for label in found if not any(label != other and label in other for other in found)}
    return longest.pop() if len(longest) == 1 else None


def _leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield every field of a JSON value that has no fields itself, with the way to it."""
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _leaves(inner, (*path, name))
    elif isinstance(value, list) and value:
        for place, inner in enumerate(value):
            yield from _leaves(inner, (*path, str(place)))
    else:
        yield path, normalised(value) if isinstance(value, str) else value


def _read(expected: str, answer: str) -> tuple[dict[tuple[str, ...], Any], dict[tuple[str, ...], Any]]:
    """Return the fields of both; a row that expects no JSON among others that do is compared as text."""
    wanted, said = json_in(expected), json_in(answer)
    if wanted is None:
        wanted, said = expected, answer
    return dict(_leaves(wanted)), {} if said is None else dict(_leaves(said))


def _fields_right(expected: str, answer: str, _labels: frozenset[str]) -> float:
    wanted, said = _read(expected, answer)
    return sum(path in said and _is_same(value, said[path]) for path, value in wanted.items()) / len(wanted)


def _is_same(one: Any, other: Any) -> bool:
    # In Python True is 1; in JSON it is not.
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _same_json(expected: str, answer: str, _labels: frozenset[str]) -> float:
    wanted, said = _read(expected, answer)
    return float(wanted.keys() == said.keys() and all(_is_same(value, said[path]) for path, value in wanted.items()))


def _words_in_common(expected: str, answer: str, _labels: frozenset[str]) -> float:
    wanted, said = Counter(WORD.findall(normalised(expected))), Counter(WORD.findall(normalised(answer)))
    if not wanted or not said:
        return float(wanted == said)
    return 2 * (wanted & said).total() / (wanted.total() + said.total())


_MEASURES: dict[Metric, Callable[[str, str, frozenset[str]], float]] = {
    Metric.LABEL: lambda expected, answer, labels: float(label_in(answer, labels) == normalised(expected)),
    Metric.EXACT: lambda expected, answer, _: float(expected.strip() == answer.strip()),
    Metric.NORMALISED: lambda expected, answer, _: float(normalised(expected) == normalised(answer)),
    Metric.JSON_FIELDS: _fields_right,
    Metric.JSON_SAME: _same_json,
    Metric.JSON_VALID: lambda _, answer, __: float(isinstance(json_in(answer), dict | list)),
    Metric.TOKEN_F1: _words_in_common,
    Metric.SIMILARITY: lambda expected, answer, _: float(Indel.normalized_similarity(normalised(expected), normalised(answer))),
}
