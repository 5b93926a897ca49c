"""A fix carried out on all rows: the next version's file, written from the last one's.

A row keeps the side of the split it is on although its text, and so its hash, may change: otherwise masking a name would move rows from
training to the test, and scores before and after could not be compared.
"""

from __future__ import annotations

import shutil
from collections import Counter
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field

from app.domain.calls import passed_in
from app.domain.datasets import Mapping, Split
from app.domain.errors import Invalid
from app.domain.fixes import Fix, Mask, Mend, Outcome, TrimEnd, told
from app.domain.problems import Mark
from app.domain.repairs import changed_with_map
from app.gateways.findings import Findings
from workers.curation.called import find_passed
from workers.curation.mask_map import Masked, MaskMap
from workers.curation.parquet import SCHEMA, in_schema
from workers.curation.stored import VersionWriter, stored_example, stored_row
from workers.curation.taking_in import leave_behind, taken_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from app.domain.datasets import Row
    from app.domain.problems import Finding
    from app.gateways.findings import Selection
    from workers.curation.marking import Finder
    from workers.curation.taking_in import Parse, TakenIn

    Tell = Callable[[int, int, int], None]

FILE_BITS = 32
"""Where a row stands in one number: its file's, and below it its line's."""


class FixSpec(BaseModel):
    """The rows, what was found in them and was set aside, what is to be done, and where what comes of it goes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rows: Path
    findings: Path | None = None
    aside: Path | None = None
    fix: Fix
    out: Path
    aside_out: Path | None = None
    mask_map: Path | None = None
    mask_map_base: Path | None = Field(None, description="What the masks that stand in the rows already stand for.")
    mapping: Mapping | None = None
    system: str | None = None
    columns: list[str] = Field(default_factory=list, description="Of a table: what a line that somebody has rewritten is read under.")
    filename: str = Field("rows.jsonl", description="Says what form a row has that somebody has rewritten.")


def apply_fix(spec: FixSpec, tell: Tell, *, parse: Parse | None = None) -> dict[str, Any]:
    """Write the rows as the fix leaves them, and return how many there are now and what was done, in words."""
    with VersionWriter(spec.out) as writer, MaskMap(spec.mask_map_base, spec.mask_map) as mask_map:
        if isinstance(spec.fix, Mend | TrimEnd):
            outcome, report = _take_in(spec, writer, mask_map, tell, parse or _parser(spec))
        else:
            outcome, report = _change(spec, writer, mask_map, tell), {}
            if spec.aside and spec.aside_out:
                shutil.copyfile(spec.aside, spec.aside_out)
        if outcome == Outcome():
            raise Invalid("Nothing would change: this fix finds nothing to do in these rows.", param="fix", code="nothing_changed")
        writer.finish()
    sides = {"rows": writer.rows, "train_rows": writer.counts[Split.TRAIN], "test_rows": writer.counts[Split.TEST]}
    return {"words": told(spec.fix, outcome), **outcome._asdict(), **sides, **report}


def _parser(spec: FixSpec) -> Parse:
    from workers.curation.mending import parse_row

    return lambda text: parse_row(text, spec.filename, spec.mapping, spec.system, columns=spec.columns)


def _change(spec: FixSpec, writer: VersionWriter, mask_map: MaskMap, tell: Tell) -> Outcome:
    """Leave out and change rows, group by group of the file."""
    if spec.findings is None:
        raise Invalid("The rows have not been looked at yet; try again when they have been.", param="fix", code="not_checked")
    findings = Findings(spec.findings)
    change = _Change(findings.select(spec.fix), findings, mask_map)
    with pq.ParquetFile(spec.rows) as file:
        if file.metadata.num_rows != findings.rows:
            raise Invalid("What was found belongs to other rows; look at these again first.", param="fix", code="not_checked")
        for group in range(file.metadata.num_row_groups):
            writer.write(change.of(in_schema(file.read_row_group(group)), writer.rows))
            tell(change.done, findings.rows, writer.rows)
    return Outcome(dropped=findings.rows - writer.rows, changed=change.changed)


class _Change:
    """Carries a selection out on one part of the file after the other."""

    def __init__(self, selection: Selection, findings: Findings, mask_map: MaskMap) -> None:
        self._selection, self._findings, self._unread = selection, findings, findings.unread
        self._map, self._keeps_map = mask_map, getattr(selection.fix, "keep_map", False)
        self.done = self.changed = 0

    def of(self, table: Any, written: int) -> Any:
        """Return the part as the fix leaves it, `written` rows having come before it; its masks go into the map."""
        here = slice(self.done, self.done + table.num_rows)
        stays = ~self._selection.drop[here]
        new: dict[int, dict[str, Any]] = {}
        masked = {row - self.done: known for row, known in self._map.known(here.stop).items()}
        places = np.flatnonzero(self._selection.touch[here] & stays)
        raws = table.take(pa.array(places)).to_pylist()
        for place, raw, found in zip(places.tolist(), raws, self._findings.of((places + self.done).tolist()), strict=True):
            row = stored_row(raw)
            finding = _looked_through(found, row) if self._unread[found.row] and isinstance(self._selection.fix, Mask) else found
            after, meaning = changed_with_map(self._selection.fix, row, finding)
            stays[place] = after is not None
            if after is not None and after is not row:
                new[place] = stored_example(after, raw)
                self._note(masked, place, new[place]["hash"], meaning)
        numbers = written - 1 + np.cumsum(stays)
        self._map.tell((int(numbers[place]), masked[place]) for place in sorted(masked) if stays[place])
        self.done += table.num_rows
        self.changed += len(new)
        return _with(table, new).filter(pa.array(stays))

    def _note(self, masked: dict[int, Masked], place: int, hashed: str, meaning: dict[str, str]) -> None:
        """Name a row anew that was changed, and add what its new masks stand for, if that is to be kept."""
        earlier = masked[place].masks if place in masked else {}
        masks = earlier | (meaning if self._keeps_map else {})
        if masks:
            masked[place] = Masked(hashed, masks)


def _looked_through(found: Finding, row: Row) -> Finding:
    """Return a finding with the personal data of a row that was in no sample."""
    marks = [Mark(turn, *span) for turn, text in enumerate(row.texts) for span in _finder().find(text)]
    passed = enumerate(passed_in(row), len(row.texts))
    marks += [Mark(turn, *span) for turn, value in passed for span in find_passed(_finder().find, value)]
    return found._replace(marks=tuple(marks))


@cache
def _finder() -> Finder:
    # Its tagger and patterns take a second to load.
    from workers.curation.pii import Finder as Loaded

    return Loaded()


def _with(table: Any, new: dict[int, dict[str, Any]]) -> Any:
    """Return the table with some of its rows replaced."""
    if not new:
        return table
    order = np.arange(table.num_rows)
    order[list(new)] = table.num_rows + np.arange(len(new))
    return pa.concat_tables([table, pa.Table.from_pylist(list(new.values()), schema=table.schema)]).take(pa.array(order))


def _take_in(spec: FixSpec, writer: VersionWriter, mask_map: MaskMap, tell: Tell, parse: Parse) -> tuple[Outcome, dict[str, Any]]:
    """Put rows that were set aside where their files have them."""
    assert isinstance(spec.fix, Mend | TrimEnd)  # noqa: S101 - for the type checker: the caller has looked
    if spec.aside is None or spec.aside_out is None:
        raise Invalid("No row of this version was set aside.", param="fix", code="nothing_changed")
    taken = taken_in(spec.fix, spec.aside, parse)
    with pq.ParquetFile(spec.rows) as file:
        places = _places(file, taken)
        done = 0
        for group in range(file.metadata.num_row_groups):
            table = in_schema(file.read_row_group(group))
            here = slice(*np.searchsorted(places, [done, done + table.num_rows]).tolist())
            writer.write(_inserted(table, places[here] - done, taken[here]))
            done += table.num_rows
            mask_map.tell((row + int(np.searchsorted(places, row, "right")), masked) for row, masked in mask_map.known(done).items())
            tell(writer.rows, file.metadata.num_rows + len(taken), writer.rows)
        writer.write(_as_table(taken[np.searchsorted(places, done) :]))
    problems = leave_behind(spec.aside, spec.aside_out, taken)
    return Outcome(added=len(taken)), {"taken": dict(Counter(each.code for each in taken)), "problems": problems}


def _places(file: Any, taken: list[TakenIn]) -> NDArray[np.int64]:
    """Return before which row each comes in: behind the last one of its file that stands on an earlier line.

    Lines need not rise: each member of an archive begins anew, under the same file.
    """
    table = file.read(columns=["file", "line"])
    stands = {name: table.column(name).fill_null(0).to_numpy().astype(np.int64) for name in table.column_names}
    lowest_from_here = np.minimum.accumulate((stands.get("file", np.int64(0)) << FILE_BITS | stands["line"])[::-1])[::-1]
    return np.searchsorted(lowest_from_here, np.array([each.file << FILE_BITS | each.line for each in taken], np.int64))


def _inserted(table: Any, places: NDArray[np.int64], taken: list[TakenIn]) -> Any:
    if not taken:
        return table
    order = np.insert(np.arange(table.num_rows), places, table.num_rows + np.arange(len(taken)))
    return pa.concat_tables([table, _as_table(taken)]).take(pa.array(order))


def _as_table(taken: list[TakenIn]) -> Any:
    return pa.Table.from_pylist([stored_example(each.example, each._asdict()) for each in taken], schema=SCHEMA)
