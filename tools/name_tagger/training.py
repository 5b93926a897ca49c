"""Fit the tagger's weights: a logistic regression over what is seen at each word, cut down to what fits in a small file."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tools.name_tagger.examples import Example
from workers.curation.pii.features import ADDRESS, EDGE, NAME, OUTSIDE, case_of, features, is_candidate, numbers_near
from workers.curation.pii.words import Known

SEEN_AT_LEAST = 4
LEAST_WEIGHT = 0.05
IN_ADDRESSES = 12
NAME_COUNTS = 2.2
"""A name that is missed costs more than a word that is masked for nothing."""


def rows(examples: Iterable[Example], vocabulary: frozenset[str]) -> tuple[list[list[str]], list[int]]:
    """Return what is seen at every word that is weighed, with its tag; a name's own letters are not among it."""
    seen: list[list[str]] = []
    tags: list[int] = []
    for words, right in examples:
        case, near, before = case_of(words), numbers_near(words), OUTSIDE
        for at, (word, tag) in enumerate(zip(words, right, strict=True)):
            if is_candidate(word, before, words[at - 1] if at else EDGE):
                seen.append([each for each in features(words, at, before, (case, near[at])) if _is_kept(each, vocabulary)])
                tags.append(tag)
            before = tag
    return seen, tags


def street_words(examples: Iterable[Example]) -> set[str]:
    """Return what streets are called in many addresses, and is nobody's name and no place's."""
    counts = Counter(
        word.lower for words, tags in examples for word, tag in zip(words, tags, strict=True) if tag == ADDRESS and word.shape[0] in "xX"
    )
    names = {word.lower for words, _ in examples for word in words if word.known & ~Known.COMMON}
    return {word for word, count in counts.items() if count >= IN_ADDRESSES} - names


WORDS_AT = {**dict.fromkeys("w12345+!*&%", 1), "W": 2, "z": 2}
"""Where the words of a feature begin, by its first letter; the others hold none."""
WITH_SHAPE = frozenset("!*")


def _is_kept(feature: str, vocabulary: frozenset[str]) -> bool:
    """Tell whether a feature speaks of words of the language alone: a name's own letters would only be remembered."""
    at = WORDS_AT.get(feature[0])
    if at is None:
        return True
    words = feature[at:].split("|")
    return all(word in vocabulary for word in (words[:1] if feature[0] in WITH_SHAPE else words))


def fit(seen: list[list[str]], tags: Sequence[int], *, strength: float) -> tuple[dict[str, tuple[float, float]], tuple[float, float]]:
    """Return the weights of each feature for a name and for an address, against neither; and those of no feature at all."""
    from scipy.sparse import csr_matrix  # type: ignore[import-untyped]  # scipy ships no types
    from sklearn.linear_model import LogisticRegression

    counts = Counter(feature for row in seen for feature in row)
    index = {feature: at for at, feature in enumerate(sorted(each for each, count in counts.items() if count >= SEEN_AT_LEAST))}
    columns = [[index[feature] for feature in dict.fromkeys(row) if feature in index] for row in seen]
    starts = np.cumsum([0, *(len(row) for row in columns)])
    flat = np.fromiter((column for row in columns for column in row), dtype=np.int32)
    matrix = csr_matrix((np.ones(len(flat), dtype=np.float32), flat, starts), shape=(len(seen), len(index)))
    model: Any = LogisticRegression(C=strength, max_iter=200, tol=1e-3, class_weight={OUTSIDE: 1.0, NAME: NAME_COUNTS, ADDRESS: 1.0})
    model.fit(matrix, np.asarray(tags))
    against = model.coef_[1:] - model.coef_[0]
    bias = model.intercept_[1:] - model.intercept_[0]
    kept = {
        feature: (round(float(against[0, at]), 2), round(float(against[1, at]), 2))
        for feature, at in index.items()
        if np.abs(against[:, at]).max() >= LEAST_WEIGHT
    }
    return kept, (round(float(bias[0]), 3), round(float(bias[1]), 3))


def write(weights: dict[str, tuple[float, float]], bias: tuple[float, float], file: Path) -> None:
    """Write the model as the workers read it, the same bytes for the same weights."""
    model = {"bias": bias, "weights": dict(sorted(weights.items()))}
    file.write_bytes(gzip.compress(json.dumps(model, ensure_ascii=False, separators=(",", ":")).encode(), 9, mtime=0))
