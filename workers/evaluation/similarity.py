"""Which training rows are most like a question: BM25 over their words, which needs no model and is the same every time."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

WORD = re.compile(r"\w+")
UNSPACED = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]{2,}")
"""Scripts that are written without spaces: their words are pairs of letters."""
MOST_WORDS = 2_000
"""Words of a text that count; more of them would only cost time."""


class Nearest:
    """Texts, and which of them are nearest to another one."""

    def __init__(self, texts: Sequence[str]) -> None:
        # Only where something is looked up; it loads numpy, and numba where that is installed.
        import bm25s

        self._count = len(texts)
        self._index: Any = bm25s.BM25() if texts else None
        if self._index is not None:
            numbers: dict[str, int] = {}
            # Numbers, since a million words would each be an object of its own.
            rows = [[numbers.setdefault(word, len(numbers)) for word in words_of(text) or ["\0"]] for text in texts]
            self._index.index((rows, numbers), create_empty_token=False, show_progress=False)

    def to(self, text: str, most: int) -> list[int]:
        """Return the places of the nearest texts, the nearest first; of equally near ones those that come first."""
        if self._index is None:
            return []
        scores = self._index.get_scores(words_of(text) or ["\0"])
        return [int(place) for place in (-scores).argsort(kind="stable")[: min(most, self._count)]]


def words_of(text: str) -> list[str]:
    """Return the words of a text, small and without accents' different spellings."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    found = WORD.findall(plain)[:MOST_WORDS]
    pairs = (run[n : n + 2] for word in found for run in UNSPACED.findall(word) for n in range(len(run) - 1))
    return [*found, *pairs][:MOST_WORDS]
