"""No e-mail of the sample datasets may stand in what the starter reads: what shares eight words in a row is left out."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LENGTH = 8
WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")


@lru_cache(maxsize=1)
def held_out_grams(samples: Path) -> frozenset[str]:
    """Return every eight words in a row of every message of the sample datasets."""
    rows = [json.loads(line) for path in sorted(samples.glob("*/*.jsonl")) for line in path.read_text(encoding="utf-8").splitlines()]
    if not rows:
        message = f"There is no sample dataset in {samples}: run python -m tools.samples first."
        raise FileNotFoundError(message)
    return frozenset(gram for row in rows for message in row["messages"] for gram in grams(message["content"]))


def grams(text: str) -> Iterator[str]:
    """Yield each eight words in a row, in small letters, without marks."""
    words = WORD.findall(text.lower().replace("’", "'"))
    for at in range(len(words) - LENGTH + 1):
        yield " ".join(words[at : at + LENGTH])


def is_apart(text: str, samples: Path) -> bool:
    """Tell whether a text shares no eight words in a row with the sample datasets."""
    held_out = held_out_grams(samples)
    return not any(gram in held_out for gram in grams(text))
