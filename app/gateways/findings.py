"""What was found in each row of a version: pages of rows by problem, groups side by side, and which rows a fix will touch.

The file is mapped into memory and read by column, so that a filter over a million rows takes milliseconds; texts are not in it.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from app.domain.errors import Invalid
from app.domain.fixes import Balance, Drop, DropLonger, Fill, KeepBest, Mask, Repair
from app.domain.problems import ALONE, BITS, EXPLAINED, LEAKS, PLACEHOLDER_MARK, Finding, Mark, Trouble, troubles_of
from app.domain.repairs import changed, masked_kinds

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from app.domain.datasets import Row
    from app.domain.fixes import Fix

GROUPS = {Trouble.EXACT_DUPLICATE: "exact", Trouble.NEAR_DUPLICATE: "near", Trouble.OTHER_ANSWER: "other_answer"}
"""Problems of rows that belong together, and the column that says which do."""
LOOKED_THROUGH_BELOW = b"looked_through_below"
"""In the file's metadata: rows that chance gave a lower number were looked through for personal data. Of a million rows not all are."""


class Selection(NamedTuple):
    """The rows a fix leaves out, and those it may change; how, `after` says of each."""

    fix: Fix
    drop: NDArray[np.bool_]
    touch: NDArray[np.bool_]

    def after(self, row: Row, finding: Finding) -> Row | None:
        """Return the row as the fix leaves it; None when it is left out."""
        if self.drop[row.row]:
            return None
        return changed(self.fix, row, finding) if self.touch[row.row] else row


class Findings:
    """Reads a findings file; columns are read when they are first wanted, and kept."""

    def __init__(self, path: Path) -> None:
        self._path, self._columns = path, dict[str, Any]()
        with self._open() as file:
            self._batches = file.num_record_batches
            first = file.get_batch(0).num_rows if self._batches else 0
            self._looked_through_below = int((file.schema.metadata or {}).get(LOOKED_THROUGH_BELOW, 2**32))
            last = file.get_batch(self._batches - 1).num_rows if self._batches else 0
        self._of_a_batch = max(1, first)
        self.rows = first * (self._batches - 1) + last if self._batches else 0

    @property
    def unread(self) -> NDArray[np.bool_]:
        """Which rows were not looked through for personal data; what there is in them is found when they are masked."""
        return np.asarray(self._column("draw") >= self._looked_through_below, np.bool_)

    def counts(self, max_tokens: int | None = None) -> dict[Trouble, int]:
        """Return how many rows each problem is in, without those that no row has; too long is what has more tokens than are given."""
        found = {trouble: int(np.count_nonzero(self._has(trouble, max_tokens))) for trouble in EXPLAINED if not trouble.is_aside}
        return {trouble: many for trouble, many in found.items() if many}

    def extremes(self, many: int) -> list[int]:
        """Return so many rows with the most tokens, and as many with the fewest."""
        tokens = self._column("tokens")
        if len(tokens) <= 2 * many:
            return list(range(len(tokens)))
        ordered = np.argpartition(tokens, [many, len(tokens) - many])
        return [int(row) for row in (*ordered[-many:], *ordered[:many])]

    def page(self, trouble: Trouble | None, *, after: int, limit: int, max_tokens: int | None = None) -> tuple[list[int], bool]:
        """Return up to `limit` rows behind `after` that have a problem, or any rows, and whether there are more."""
        if trouble is None:
            end = min(self.rows, after + 1 + limit)
            return list(range(after + 1, end)), end < self.rows
        found = np.flatnonzero(self._has(trouble, max_tokens)[after + 1 :])[: limit + 1] + after + 1
        return found[:limit].tolist(), len(found) > limit

    def of(self, rows: Sequence[int]) -> list[Finding]:
        """Return what was found in these rows, in the order in which they are given."""
        found: dict[int, Finding] = {}
        with self._open() as file:
            for number in sorted({row // self._of_a_batch for row in rows}):
                first = number * self._of_a_batch
                wanted = sorted({row for row in rows if row // self._of_a_batch == number})
                cells = file.get_batch(number).take(pa.array([row - first for row in wanted])).to_pylist()
                found |= {row: _finding(row, cell) for row, cell in zip(wanted, cells, strict=True)}
        return [found[row] for row in rows]

    def groups(self, trouble: Trouble, *, after: int, limit: int) -> list[tuple[list[int], int]]:
        """Return up to `limit` groups whose first row comes behind `after`: their rows, and the one to keep.

        Of a leak that is the training row, and the test row is its only fellow.
        """
        if trouble in LEAKS:
            pairs = self._column("leak_of")
            rows, _ = self.page(trouble, after=after, limit=limit)
            return [([int(pairs[row]), row], int(pairs[row])) for row in rows if pairs[row] != ALONE]
        if trouble not in GROUPS:
            raise Invalid(f"Rows with {EXPLAINED[trouble].title.lower()} are in no groups.", param="problem")
        column = self._column(GROUPS[trouble])
        names = np.flatnonzero(np.bincount(column[column > after], minlength=0))[:limit]
        members = np.flatnonzero(np.isin(column, names))
        kept = self._kept(trouble)
        grouped = {int(name): members[column[members] == name] for name in names}
        return [(rows.tolist(), int(rows[np.argmax(kept[rows])])) for rows in grouped.values()]

    def select(self, fix: Fix) -> Selection:
        """Return which rows a fix leaves out and which it may change; Invalid for one that is about no rows of the version."""
        nobody = np.zeros(self.rows, np.bool_)
        if isinstance(fix, Drop | KeepBest | Balance | DropLonger):
            return Selection(fix, self._dropped(fix), nobody)
        if isinstance(fix, Mask):
            unread = self.unread if fix.problem is Trouble.PII else nobody
            return Selection(fix, nobody, self._among(fix.rows, self._marked(masked_kinds(fix)) | unread))
        if isinstance(fix, Repair):
            return Selection(fix, nobody, self._among(fix.rows, self._has(fix.problem)))
        touched = self._marked({PLACEHOLDER_MARK}) if isinstance(fix, Fill) else nobody
        return Selection(fix, nobody, touched)

    def _dropped(self, fix: Drop | KeepBest | Balance | DropLonger) -> NDArray[np.bool_]:
        if isinstance(fix, DropLonger):
            return np.asarray(self._column("tokens") > fix.tokens, np.bool_)
        if isinstance(fix, Balance):
            return self._beyond(fix.most)
        if fix.problem is Trouble.TOO_LONG:
            raise Invalid("Say of how many tokens a row is too long.", param="problem", code="needs_tokens")
        if isinstance(fix, Drop):
            return self._among(fix.rows, self._has(fix.problem) if fix.problem else np.ones(self.rows, np.bool_))
        column = self._column(GROUPS[fix.problem])
        spare = np.asarray(column != ALONE, np.bool_) & ~self._kept(fix.problem)
        if fix.rows is None:
            return spare
        return spare & np.isin(column, column[_within(fix.rows, self.rows)])

    def _kept(self, trouble: Trouble) -> NDArray[np.bool_]:
        """Return the row of each group that stays, and all rows outside of groups."""
        if trouble is Trouble.NEAR_DUPLICATE:
            kept: NDArray[np.bool_] = self._column("keep")
            return kept
        if trouble is Trouble.EXACT_DUPLICATE:
            return ~self._has(trouble)
        return self._likeliest

    @cached_property
    def _likeliest(self) -> NDArray[np.bool_]:
        """Whether a row has its question's likeliest answer: of labels the most frequent, of texts the longest; else the first."""
        group, length = self._column("other_answer"), self._column("answer_tokens")
        rows = np.flatnonzero(group != ALONE)
        votes = np.ones(len(rows), np.int64)
        if len(labels := self._column("label")):
            pairs = group[rows] * (int(labels.max(initial=0)) + 2) + labels[rows]
            _, which, many = np.unique(pairs, return_inverse=True, return_counts=True)
            votes = np.where(labels[rows] >= 0, many[which], 1)
        best_first = rows[np.lexsort((rows, -length[rows], -votes, group[rows]))]
        _, firsts = np.unique(group[best_first], return_index=True)
        kept = np.asarray(group == ALONE, np.bool_)
        kept[best_first[firsts]] = True
        return kept

    def _beyond(self, most: int) -> NDArray[np.bool_]:
        """Return the rows of each label that chance leaves out when so many stay."""
        labels = self._column("label")
        order = np.lexsort((np.arange(self.rows), self._column("draw"), labels))
        place = np.empty(self.rows, np.int64)
        place[order] = np.arange(self.rows) - np.searchsorted(labels[order], labels[order])
        return np.asarray(labels >= 0, np.bool_) & (place >= most)

    def _marked(self, kinds: Collection[str]) -> NDArray[np.bool_]:
        found = np.zeros(self.rows, np.bool_)
        for first, batch in self._each(["spans"]):
            spans = batch.column(0)
            kind = spans.flatten().field("kind")
            is_wanted = pc.is_in(kind, pa.array(sorted(kinds), pa.string())).to_numpy(zero_copy_only=False)
            counts = np.diff(spans.offsets.to_numpy())
            found[first + np.repeat(np.arange(len(spans)), counts)[is_wanted]] = True
        return found

    def _has(self, trouble: Trouble, max_tokens: int | None = None) -> NDArray[np.bool_]:
        if trouble is Trouble.TOO_LONG:
            return np.asarray(self._column("tokens") > max_tokens, np.bool_) if max_tokens else np.zeros(self.rows, np.bool_)
        if trouble.is_aside:
            raise Invalid("Rows that were set aside are in no version; mend them one by one.", param="problem", code="set_aside")
        return np.asarray(self._column("flags") & np.uint32(BITS[trouble]), np.bool_)

    def _among(self, rows: Sequence[int] | None, wanted: NDArray[np.bool_]) -> NDArray[np.bool_]:
        if rows is None:
            return wanted
        chosen = np.zeros(self.rows, np.bool_)
        chosen[_within(rows, self.rows)] = True
        return wanted & chosen

    def _column(self, name: str) -> Any:
        if name not in self._columns:
            parts = [_as_numpy(batch.column(0)) for _, batch in self._each([name])]
            self._columns[name] = np.concatenate(parts) if parts else np.empty(0, np.int64)
        return self._columns[name]

    def _each(self, names: Sequence[str]) -> Iterator[tuple[int, Any]]:
        with self._open(names) as file:
            for number in range(self._batches):
                yield number * self._of_a_batch, file.get_batch(number)

    def _open(self, names: Sequence[str] | None = None) -> Any:
        source = pa.memory_map(str(self._path))
        if names is None:
            return pa.ipc.open_file(source)
        there = pa.ipc.open_file(source).schema.names
        return pa.ipc.open_file(source, options=pa.ipc.IpcReadOptions(included_fields=[there.index(name) for name in names]))


def _as_numpy(column: Any) -> NDArray[Any]:
    """Return a column's figures; of words their numbers, ALONE for none."""
    if isinstance(column, pa.DictionaryArray):
        numbers: NDArray[Any] = column.indices.fill_null(ALONE).to_numpy(zero_copy_only=False)
        return numbers
    figures: NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return figures


def _within(rows: Sequence[int], many: int) -> list[int]:
    return [row for row in rows if 0 <= row < many]


def _finding(row: int, cell: dict[str, Any]) -> Finding:
    flags, marks = cell.pop("flags"), cell.pop("spans")
    cell.pop("draw")
    return Finding(row, troubles_of(flags), marks=tuple(Mark(**mark) for mark in marks), **cell)
