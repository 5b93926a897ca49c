"""The sum of what was found in a version's rows: small enough to be kept with it and shown with every page."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from app.domain.problems import ALONE, BITS, CONTROL_MARK, PLACEHOLDER_MARK, SECRET_MARK, Trouble

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence

    from numpy.typing import NDArray

MOST_BYTES = 32 * 1024
MOST_LABELS_TOLD = 200
MOST_BLANKS_TOLD = 50
MOST_CHARACTERS_TOLD = 60
BINS = 40
GROUPED = ("exact", "near", "other_answer")
NO_PERSONAL_DATA = frozenset({PLACEHOLDER_MARK, CONTROL_MARK, SECRET_MARK})


def summed_up(
    columns: dict[str, Any],
    *,
    kinds: Counter[str],
    blanks: Counter[str],
    labels: Sequence[tuple[str, int]] | None,
    languages: Sequence[tuple[str, int]],
) -> dict[str, Any]:
    """Return the summary: rows by problem, groups, labels, languages, what was marked, and tokens."""
    flags = columns["flags"]
    summary = {
        "checked_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "rows": len(flags),
        "flagged": int((flags != 0).sum()),
        "problems": {str(trouble): many for trouble in Trouble if (many := int(((flags & np.uint32(BITS[trouble])) != 0).sum()))},
        "groups": {name: len(np.unique(columns[name][columns[name] != ALONE])) for name in GROUPED},
        "labels": None if labels is None else [[_short(label), many] for label, many in labels[:MOST_LABELS_TOLD]],
        "languages": [list(each) for each in languages],
        "pii": {kind: many for kind, many in kinds.most_common() if kind not in NO_PERSONAL_DATA},
        "secrets": {SECRET_MARK: kinds[SECRET_MARK]} if kinds[SECRET_MARK] else {},
        "placeholders": [[text, many] for text, many in blanks.most_common(MOST_BLANKS_TOLD)],
        "tokens": {"row": histogram(columns["tokens"]), "answer": histogram(columns["answer_tokens"])},
    }
    return _bounded(summary)


def histogram(figures: NDArray[np.int32]) -> dict[str, Any]:
    """Return how many figures lie in each of at most `BINS` bins [from, to), wider upwards; and their middle and ends."""
    most = int(figures.max(initial=0))
    edges = np.unique(np.concatenate([[0], np.geomspace(1, most + 1, BINS).astype(np.int64), [most + 1]]))[-BINS - 1 :]
    counts, _ = np.histogram(figures, edges)
    bins = [[int(low), int(high), int(many)] for low, high, many in zip(edges[:-1], edges[1:], counts, strict=True)]
    middle, high = np.percentile(figures, [50, 95]) if len(figures) else (0, 0)
    return {
        "bins": bins, "min": int(figures.min(initial=most)), "median": int(middle), "p95": int(high), "max": most,
        "sum": int(figures.sum(dtype=np.int64)),
    }  # fmt: skip


def _short(text: str) -> str:
    return text if len(text) <= MOST_CHARACTERS_TOLD else text[: MOST_CHARACTERS_TOLD - 1] + "…"


def _bounded(summary: dict[str, Any]) -> dict[str, Any]:
    """Shorten lists, the last and least first, until the summary is small: each character may take six bytes."""
    for name in ("placeholders", "labels", "languages"):
        while len(json.dumps(summary)) > MOST_BYTES and len(summary[name] or ()) > 1:
            summary[name] = summary[name][: len(summary[name]) // 2]
    return summary
