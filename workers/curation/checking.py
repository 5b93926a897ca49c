"""A look at every row of a version: what is wrong with each goes into the findings file, and the sum of it to the page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from app.domain.problems import ALONE, BITS, Trouble
from app.domain.specs import STARTER
from app.gateways.tokens import TokenCounter
from workers.curation.checks import NO_LABEL, RowChecks, joined
from workers.curation.findings_file import MarkColumns, words, write_findings
from workers.curation.languages import UNKNOWN
from workers.curation.marking import Marker
from workers.curation.spoken import batches_of
from workers.curation.summary import summed_up
from workers.curation.twins import COLUMNS, TwinFinder
from workers.curation.unusual import counted, counted_labels, flags_of_lengths, flags_of_words, other_languages, rare_labels

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from workers.curation.checks import Seen
    from workers.curation.twins import Twins

    Tell = Callable[[int, int, int], None]

BUNDLED = Path(__file__).parents[2] / "models" / STARTER
ROWS_LOOKED_THROUGH = 200_000
"""Of more rows, so many are looked through for personal data and languages; to mask them looks through the others, too."""
SPOILED = np.uint32(BITS[Trouble.PLACEHOLDER] | BITS[Trouble.CONTROL_TOKENS] | BITS[Trouble.MOJIBAKE])
"""Of twins, a row with any of these is not the one to keep."""


class CheckSpec(BaseModel):
    """Which rows to look at, and where what was found in each is to go."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rows: Path
    out: Path


def check(spec: CheckSpec, tell: Tell, *, marker: Marker | None = None) -> dict[str, Any]:
    """Look at every row, write the findings file and return the summary; `tell` hears of rows done, of how many, and of rows."""
    rows = pq.read_metadata(spec.rows).num_rows
    checks = RowChecks(marker or _marker(), TokenCounter(BUNDLED), share=min(1.0, ROWS_LOOKED_THROUGH / max(rows, 1)))
    seen, twins = _look(checks, spec, lambda done, looked_at: tell(int(done * rows), 2 * rows, looked_at))
    labels = counted_labels(seen.label, checks.labels.words) if checks.is_labelled else None
    languages = counted(seen.language, checks.languages.words, nothing=UNKNOWN)
    flags = seen.flags | _flags_of_twins(twins) | flags_of_lengths(seen.characters)
    if labels is None:
        flags |= flags_of_lengths(seen.answer_characters)
    flags |= flags_of_words(seen.label, checks.labels.words, rare_labels(labels or []), Trouble.RARE_LABEL)
    flags |= flags_of_words(seen.language, checks.languages.words, other_languages(languages), Trouble.OTHER_LANGUAGE)
    columns = {
        "flags": flags, "tokens": seen.tokens, "answer_tokens": seen.answer_tokens, "exact": twins.exact, "near": twins.near,
        "other_answer": twins.other_answer, "keep": twins.keep, "leak_of": twins.leak_of, "draw": seen.draw,
        "label": words(seen.label if labels else np.full(rows, NO_LABEL, np.int16), checks.labels.words, nothing=NO_LABEL),
        "language": words(seen.language, checks.languages.words, nothing=checks.languages[UNKNOWN]),
    }  # fmt: skip
    write_findings(spec.out, columns, MarkColumns(seen.marks._asdict(), checks.marker.kinds.words, rows), looked_through_below=checks.below)
    summary = summed_up(columns, kinds=checks.marker.found, blanks=checks.marker.blanks, labels=labels, languages=languages)
    looked_through = int((seen.draw < checks.below).sum())
    return summary | ({"sampled": {"pii": looked_through, "languages": looked_through}} if looked_through < rows else {})


def _marker() -> Marker:
    # Its tagger and patterns take a second to load.
    from workers.curation.pii import SUSPECT, Finder, find_secrets

    return Marker(Finder(), find_secrets, suspect=SUSPECT)


def _look(checks: RowChecks, spec: CheckSpec, tell: Callable[[float, int], None]) -> tuple[Seen, Twins]:
    """Look at each row by itself, and then at all side by side; `tell` hears of both as one share each, and of rows."""
    rows = pq.read_metadata(spec.rows).num_rows
    parts: list[Seen] = []
    done = 0
    with TwinFinder(folder=spec.out.parent) as finder:
        for batch in batches_of(spec.rows, COLUMNS):
            parts.append(checks.look(batch))
            finder.add(batch, (parts[-1].flags & SPOILED) != 0)
            done += batch.num_rows
            tell(done / rows, done)
        twins = finder.finish(lambda share: tell(1 + share, rows))
    return joined(parts), twins


def _flags_of_twins(twins: Twins) -> NDArray[np.uint32]:
    """Return who is one too many, who contradicts another, and who gives the test away.

    A copy is told as that alone, and the one to keep of a group is told as nothing: so many rows are flagged as can go.
    """
    found = {
        Trouble.EXACT_DUPLICATE: twins.is_copy, Trouble.NEAR_DUPLICATE: (twins.near != ALONE) & ~twins.keep & ~twins.is_copy,
        Trouble.OTHER_ANSWER: twins.other_answer != ALONE, Trouble.LEAK: twins.leak_exact, Trouble.NEAR_LEAK: twins.leak_near,
    }  # fmt: skip
    flags = np.zeros(len(twins.exact), np.uint32)
    for trouble, rows in found.items():
        flags[rows] |= np.uint32(BITS[trouble])
    return flags
