"""What a fix would do, before it is done: how many rows it leaves out and changes, and the first of them as they were and would be."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from app.domain.errors import Conflict
from app.domain.fixes import Mend, TrimEnd
from app.domain.problems import Trouble
from app.domain.unanswered import answered

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from app.domain.aside import Aside
    from app.domain.datasets import Row
    from app.domain.fixes import Fix
    from app.domain.ports import Selection
    from app.domain.problems import Finding
    from app.domain.unanswered import Answered
    from app.services.desk_rows import DeskRows, Looked

SHOWN = 20
TRIED_AT_MOST, ASIDE_TRIED_AT_MOST = 4_000, 500
"""Whether a row changes is only known once it was tried; beyond so many a preview says how many may."""
MOST_LETTERS = 2_000_000
"""And beyond so much text: few rows may have as much as many others."""


class Change(NamedTuple):
    """One row as it is, what was found in it, and what the fix makes of it: None leaves it out."""

    row: Row
    finding: Finding
    after: Row | None


class Trimmed(NamedTuple):
    """A row that was set aside and would be taken in up to its last answer."""

    row: Aside
    found: Answered


@dataclass(frozen=True)
class Preview:
    """What a fix would do; `is_exact` is False where the number of changed rows is only the most it can be."""

    fix: Fix
    dropped: int
    changed: int
    added: int
    is_exact: bool
    changes: list[Change]
    trimmed: list[Trimmed] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """How many rows it is about, at most."""
        return self.dropped + self.changed + self.added

    @property
    def does_nothing(self) -> bool:
        """Whether no row would be another."""
        return not self.rows


def preview(rows: DeskRows, fix: Fix) -> Preview:
    """Return what a fix would do; Conflict before the rows were looked at."""
    if isinstance(fix, Mend):
        return Preview(fix, 0, 0, 1, is_exact=False, changes=[])
    if isinstance(fix, TrimEnd):
        return _trimmed(rows, fix)
    if rows.findings is None:
        message = "These rows were not looked at for problems yet; wait until that has ended, or ask for it."
        raise Conflict(message, code="not_checked")
    selection = rows.findings.select(fix)
    gone = selection.drop.nonzero()[0]
    if len(gone):
        left_out = _within_bounds(rows.each([int(number) for number in gone[:SHOWN]]))
        changes = [Change(row, finding, None) for row, finding in left_out if finding is not None]
        return Preview(fix, len(gone), 0, 0, is_exact=True, changes=changes)
    return _tried(rows, fix, selection)


def _trimmed(rows: DeskRows, fix: TrimEnd) -> Preview:
    """Return which of the rows set aside have an answer to end with; whether they can be used then is known once they are read again."""
    kept = (rows.dataset.report.get("aside") or {}).get(Trouble.NO_ANSWER, 0) - rows.not_kept(Trouble.NO_ANSWER)
    tried, _ = rows.aside(Trouble.NO_ANSWER, after=0, limit=ASIDE_TRIED_AT_MOST)
    whole = ((row, answered(row.text)) for row in tried if not row.is_cut)
    trimmed = [Trimmed(row, found) for row, found in whole if found]
    beyond = max(0, kept - len(tried))
    return Preview(fix, 0, 0, len(trimmed) + beyond, is_exact=False, changes=[], trimmed=trimmed[:SHOWN])


def _tried(rows: DeskRows, fix: Fix, selection: Selection) -> Preview:
    """Return what comes of trying the fix on the rows it may change."""
    touched = [int(number) for number in selection.touch.nonzero()[0]]
    tried = dropped = changed = 0
    changes: list[Change] = []
    for row, finding in _within_bounds(rows.each(touched[:TRIED_AT_MOST])):
        tried += 1
        after = selection.after(row, finding) if finding is not None else row
        if finding is None or after == row:
            continue
        dropped, changed = dropped + (after is None), changed + (after is not None)
        if len(changes) < SHOWN:
            changes.append(Change(row, finding, after))
    beyond = len(touched) - tried
    return Preview(fix, dropped, changed + beyond, 0, is_exact=not beyond, changes=changes)


def _within_bounds(rows: Iterable[Looked]) -> Iterator[Looked]:
    """Yield rows until there is enough to read in them; the first one however long it is."""
    letters = 0
    for looked in rows:
        yield looked
        letters += looked.row.letters
        if letters >= MOST_LETTERS:
            return
