"""Rows between their stored form and the domain's, and the file of a version that is made from another's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from app.domain.datasets import CANONICAL, ROW_GROUP_ROWS, Example, Row, Split, row_from, row_hash, side_by_hash
from app.domain.errors import Invalid
from workers.curation.parquet import PACKING, SCHEMA, add_sides, hashes_in, part_of, split_anew

if TYPE_CHECKING:
    from pathlib import Path

    from app.domain.datasets import Message, Turn


def stored_row(raw: dict[str, Any]) -> Row:
    """Return the row of a line of the file."""
    return row_from({name: raw[name] for name in ("row", "split", "messages", "rejected", "label", "tools")})


def stored_example(given: Row | Example, raw: dict[str, Any]) -> dict[str, Any]:
    """Return the line of the file for a row or an example, with what `raw` says of where it stood.

    A row stays on its side of the split; an example that names none is put on one by its hash, with its twins.
    """
    turns = given.messages if isinstance(given, Row) else given.turns
    tools = raw.get("tools") if isinstance(given, Row) else given.tools
    hashed = row_hash(turns, rejected=given.rejected, label=given.label, tools=tools)
    return {
        "row": 0, "messages": [_stored(turn) for turn in turns], "rejected": given.rejected and [_stored(turn) for turn in given.rejected],
        "label": given.label, "tools": tools, "split": str(given.split or side_by_hash(hashed)), "hash": hashed, "line": raw["line"],
        "file": raw["file"],
    }  # fmt: skip


def _stored(turn: Message | Turn) -> dict[str, Any]:
    calls = turn.tool_calls
    return {
        "role": turn.role, "content": turn.content, "tool_calls": CANONICAL.encode(calls) if isinstance(calls, list) else calls,
        "tool_call_id": turn.tool_call_id, "name": turn.name, "weight": turn.weight,
    }  # fmt: skip


class VersionWriter:
    """Writes rows to `out`, numbered anew; leaves nothing behind unless `finish` was reached."""

    def __init__(self, out: Path) -> None:
        self._out, self._part = out, part_of(out)
        self.rows, self.counts = 0, dict.fromkeys(Split, 0)
        self._part.parent.mkdir(parents=True, exist_ok=True)
        self._file: Any = pq.ParquetWriter(self._part, SCHEMA, **PACKING)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._file.close()
        finally:
            for leftover in (self._part, part_of(self._part)):
                leftover.unlink(missing_ok=True)

    def write(self, table: Any) -> None:
        """Take rows."""
        if not table.num_rows:
            return
        numbers = pa.array(range(self.rows, self.rows + table.num_rows), pa.int64())
        self._file.write_table(table.set_column(0, SCHEMA.field("row"), numbers), row_group_size=ROW_GROUP_ROWS)
        self.rows += table.num_rows
        add_sides(self.counts, table.column("split").to_pylist())

    def finish(self) -> None:
        """Give the file its name; Invalid without rows, since there would be nothing to go on with."""
        if not self.rows:
            raise Invalid("No row would be left. Leave fewer rows out.", param="fix", code="nothing_left")
        self._file.close()
        if 0 in self.counts.values():
            self._move_one_over()
        self._part.replace(self._out)

    def _move_one_over(self) -> None:
        """Put the rows of the lowest or the highest hash on a side that would be empty: a run wants rows on both."""
        distinct = set(hashes_in(self._part))
        full, empty = (Split.TRAIN, Split.TEST) if self.counts[Split.TRAIN] else (Split.TEST, Split.TRAIN)
        moved = min(distinct) if empty is Split.TEST else max(distinct)
        if len(distinct) > 1:
            self.counts = split_anew(
                self._part, lambda table: [empty if one == moved else full for one in table.column("hash").to_pylist()]
            )
