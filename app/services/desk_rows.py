"""Rows as the desk shows them: those with one problem, those that say something, page by page, each with what was found in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from app.db.session import pause
from app.domain.aside import Aside, rows_aside
from app.domain.datasets import Split
from app.domain.problems import LEAKS, Trouble
from app.domain.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from app.db import Dataset
    from app.domain.datasets import Row
    from app.domain.ports import FindingsFile, RowFile
    from app.domain.problems import Finding
    from app.services.desk import Desk

CHUNK_ROWS, ROWS_AT_ONCE, FINDINGS_AT_ONCE = 400, 64, 40
MOST_LETTERS = 16_000_000
"""A page has no more text than this and a row, however many rows it was asked for; the next page goes on from there."""
LOOKED_THROUGH_AT_MOST = 20_000
"""Filters that no index knows look through so many rows for one page; the next page goes on from there."""


class Wanted(BaseModel):
    """Which rows are asked for; what else an address says is not for it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    problem: Trouble | None = Field(None, description="Only rows with this problem.")
    q: Text = Field("", max_length=200, description="Only rows that say this, in any case.")
    split: Split | None = Field(None, description="Only rows of this side.")
    max_tokens: int = Field(1024, ge=16, le=1_048_576, description="Which rows count as longer than the context.")


class Looked(NamedTuple):
    """A row, and what was found in it once somebody looked."""

    row: Row
    finding: Finding | None


@dataclass(frozen=True)
class LookedPage:
    """Some rows; `next_after` is where the next page begins behind, None at the end."""

    rows: list[Looked]
    next_after: int | None


class Group(NamedTuple):
    """Rows that are alike, and which of them would be kept."""

    rows: list[Looked]
    kept: int
    size: int


class DeskRows:
    """Reads the rows of one dataset together with what was found in them."""

    def __init__(self, desk: Desk, dataset: Dataset) -> None:
        self.desk, self.dataset = desk, dataset
        self.file: RowFile | None = None
        self.findings: FindingsFile | None = desk.findings(dataset)
        if dataset.version is not None:
            sha256 = dataset.version.artifact.sha256
            pause(desk.session)
            self.file = desk.storage.rows(sha256)

    def counts(self, max_tokens: int) -> dict[Trouble, int]:
        """Return how many rows have each problem."""
        found = dict(self.findings.counts(max_tokens)) if self.findings else {}
        aside = self.dataset.report.get("aside") or {}
        return {trouble: aside.get(trouble, 0) if trouble.is_aside else found.get(trouble, 0) for trouble in Trouble}

    def page(self, wanted: Wanted, *, after: int, limit: int) -> LookedPage:
        """Return up to `limit` of the rows that are wanted, with a number above `after`."""
        if self.file is None or (wanted.problem and (self.findings is None or wanted.problem.is_aside)):
            return LookedPage([], None)
        found: list[Row] = []
        seen, letters, last = 0, 0, after
        for rows, more in self._candidates(wanted, after, limit):
            for row in rows:
                seen, last = seen + 1, row.row
                if not _is_wanted(row, wanted):
                    continue
                if len(found) == limit or letters >= MOST_LETTERS:
                    return LookedPage(self._looked(found), found[-1].row)
                found.append(row)
                letters += row.letters
            if more and seen >= LOOKED_THROUGH_AT_MOST:
                return LookedPage(self._looked(found), last)
        return LookedPage(self._looked(found), None)

    def groups(self, problem: Trouble, *, after: int, limit: int, most_rows: int) -> tuple[list[Group], int | None]:
        """Return groups of rows that are alike, up to `most_rows` of each, and where the next page begins behind."""
        if self.file is None or self.findings is None:
            return [], None
        found = self.findings.groups(problem, after=after, limit=limit + 1)
        shown = [Group(self.at(_with(rows, kept)[:most_rows]), kept, len(rows)) for rows, kept in found[:limit]]
        last = found[limit - 1][0][-1 if problem in LEAKS else 0] if len(found) > limit else None
        return shown, last

    def at(self, numbers: Sequence[int]) -> list[Looked]:
        """Return the rows of these numbers."""
        return self._looked(self.file.rows_at(numbers)) if self.file else []

    def each(self, numbers: Sequence[int]) -> Iterator[Looked]:
        """Yield the rows of these numbers as the file has them in order, one at a time, since each may be large."""
        for start in range(0, len(numbers), FINDINGS_AT_ONCE):
            some = numbers[start : start + FINDINGS_AT_ONCE]
            found = dict(zip(some, self.findings.of(some), strict=True)) if self.findings else {}
            for row in self.file.each(some) if self.file else ():
                yield Looked(row, found.get(row.row))

    def aside(self, code: Trouble | None, *, after: int, limit: int) -> tuple[list[Aside], bool]:
        """Return rows that were set aside, behind the first `after` of them, and whether there are more."""
        found: list[Aside] = []
        for place, each in enumerate(self._all_aside(code)):
            if place >= after:
                found.append(each)
            if len(found) > limit:
                return found[:limit], True
        return found, False

    def not_kept(self, code: Trouble) -> int:
        """Return how many rows were set aside with that trouble beyond those that are kept: they cannot be shown or mended."""
        return int((self.dataset.report.get("not_kept") or {}).get(code, 0))

    def _all_aside(self, code: Trouble | None) -> Iterator[Aside]:
        artifact = self.dataset.version.file("aside") if self.dataset.version else None
        if artifact is None:
            listed = (Aside(number=place, **problem) for place, problem in enumerate(self.dataset.report.get("problems", []), 1))
            yield from (row for row in listed if code is None or row.code == code)
            return
        sha256 = artifact.sha256
        with self.desk.storage.path(sha256).open(encoding="utf-8") as lines:
            yield from rows_aside(lines, code)

    def _candidates(self, wanted: Wanted, after: int, limit: int) -> Iterator[tuple[Iterable[Row], bool]]:
        """Yield rows that may be wanted, in order, by what narrows them most."""
        assert self.file is not None  # noqa: S101 - asked for only where there are rows
        size = limit + 1 if wanted.split is None and not (wanted.problem and wanted.q) else CHUNK_ROWS
        more = True
        while more:
            if wanted.problem and self.findings:
                numbers, more = self.findings.page(wanted.problem, after=after, limit=size, max_tokens=wanted.max_tokens)
            elif wanted.q:
                found, more = self.file.search(wanted.q, after, size)
                numbers = list(found)
            else:
                rows, more = self.file.page(after, min(size, ROWS_AT_ONCE))
                after = rows[-1].row if rows else after
                yield rows, more
                continue
            after = numbers[-1] if numbers else after
            yield self.file.each(numbers), more

    def _looked(self, rows: Sequence[Row]) -> list[Looked]:
        found = self.findings.of([row.row for row in rows]) if self.findings and rows else [None] * len(rows)
        return [Looked(row, finding) for row, finding in zip(rows, found, strict=True)]


def _with(rows: list[int], kept: int) -> list[int]:
    """Return a group's rows with the one to keep first."""
    return [kept, *(row for row in rows if row != kept)]


def _is_wanted(row: Row, wanted: Wanted) -> bool:
    if wanted.split is not None and row.split != wanted.split:
        return False
    words = wanted.q.casefold()
    return not words or any(words in text.casefold() for text in row.texts)
