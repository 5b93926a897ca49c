"""Hone's own Parquet: rows are written as they come, in bounded groups, to a file that gets its name only when it is whole."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from app.domain.datasets import ROW_GROUP_ROWS, Example, Split, moved_to_fill_both_sides, row_hash, side_by_hash

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.domain.datasets import Turn

GROUP_BYTES = 16 * 1024 * 1024
"""Rows of several megabytes make smaller groups, so that memory stays bounded."""
WIDEST_CHARACTER_BYTES = 4
COMPRESSION = "zstd"
MESSAGE = pa.struct(
    [
        pa.field("role", pa.string()),
        pa.field("content", pa.string()),
        pa.field("tool_calls", pa.string()),
        pa.field("tool_call_id", pa.string()),
        pa.field("name", pa.string()),
        pa.field("weight", pa.int8()),
    ]
)
SCHEMA = pa.schema(
    [
        pa.field("row", pa.int64()),
        pa.field("messages", pa.list_(MESSAGE)),
        pa.field("rejected", pa.list_(MESSAGE)),
        pa.field("label", pa.bool_()),
        pa.field("tools", pa.string()),
        pa.field("split", pa.string()),
        pa.field("hash", pa.string()),
        pa.field("line", pa.int32()),
        pa.field("file", pa.int16()),
    ]
)
HASHED_AT_ONCE = 1024 * 1024


def part_of(out: Path) -> Path:
    """Return where the file is written until it is whole."""
    return out.with_name(out.name + ".part")


class RowWriter:
    """Writes rows to `out`; leaves nothing behind unless `finish` was reached."""

    def __init__(self, out: Path) -> None:
        self.out, self.part = out, part_of(out)
        self.counts = dict.fromkeys(Split, 0)
        self._written = self._held_bytes = 0
        self._group: list[tuple[Example, int, int]] = []
        self._given: set[Split] = set()
        self._file: pq.ParquetWriter | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._close()
        finally:
            for leftover in (self.part, part_of(self.part)):
                leftover.unlink(missing_ok=True)

    @property
    def rows(self) -> int:
        """How many rows were taken."""
        return self._written + len(self._group)

    def add(self, example: Example, line: int, file: int = 0) -> None:
        """Take a row, which starts on that line of that file."""
        self._group.append((example, line, file))
        self._held_bytes += sum(_weight(turn.content) for turn in [*example.turns, *(example.rejected or ())])
        if len(self._group) >= ROW_GROUP_ROWS or self._held_bytes >= GROUP_BYTES:
            self._flush()

    def finish(self) -> str | None:
        """Fill both sides of the split, give the file its name and return its SHA-256; None without rows."""
        self._flush()
        self._close()
        if not self._written:
            return None
        if 0 in self.counts.values() or self._given == {Split.TRAIN}:
            self._rewrite_split()
        sha256 = hashlib.sha256()
        with self.part.open("rb") as file:
            while block := file.read(HASHED_AT_ONCE):
                sha256.update(block)
            os.fsync(file.fileno())
        self.part.replace(self.out)
        _sync_folder(self.out.parent)
        return sha256.hexdigest()

    def _flush(self) -> None:
        if not self._group:
            return
        if self._file is None:
            self.part.parent.mkdir(parents=True, exist_ok=True)
            self._file = pq.ParquetWriter(self.part, SCHEMA, compression=COMPRESSION)
        examples = [example for example, _, _ in self._group]
        hashes = [row_hash(each.turns, rejected=each.rejected, label=each.label, tools=each.tools) for each in examples]
        splits = [each.split or side_by_hash(one) for each, one in zip(examples, hashes, strict=True)]
        self._given |= {each.split for each in examples if each.split}
        for split in splits:
            self.counts[split] += 1
        columns = [
            pa.array(range(self._written, self._written + len(self._group)), pa.int64()),
            _messages([each.turns for each in examples]),
            _messages([each.rejected for each in examples]),
            pa.array([each.label for each in examples], pa.bool_()),
            pa.array([each.tools for each in examples], pa.string()),
            pa.array(splits, pa.string()),
            pa.array(hashes, pa.string()),
            pa.array([line for _, line, _ in self._group], pa.int32()),
            pa.array([file for _, _, file in self._group], pa.int16()),
        ]
        self._file.write_table(pa.Table.from_arrays(columns, schema=SCHEMA), row_group_size=ROW_GROUP_ROWS)
        self._written += len(self._group)
        self._group.clear()
        self._held_bytes = 0

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _rewrite_split(self) -> None:
        """Split by hash what no file has split for us, and move a row over when one side would be empty.

        A file that calls all of its rows training rows has split nothing: a tenth of them is held out as of any other.
        """
        with pq.ParquetFile(self.part) as file:
            distinct = {one for batch in file.iter_batches(columns=["hash"]) for one in batch.column(0).to_pylist()}
            moved = moved_to_fill_both_sides(distinct)
            if not moved and self._given != {Split.TRAIN}:
                return
            self.counts = dict.fromkeys(Split, 0)
            with pq.ParquetWriter(part_of(self.part), SCHEMA, compression=COMPRESSION) as again:
                for group in range(file.metadata.num_row_groups):
                    again.write_table(self._with_new_split(file.read_row_group(group), moved), row_group_size=ROW_GROUP_ROWS)
        part_of(self.part).replace(self.part)

    def _with_new_split(self, table: Any, moved: dict[str, Split]) -> Any:
        splits = [moved.get(one) or side_by_hash(one) for one in table.column("hash").to_pylist()]
        for split in splits:
            self.counts[split] += 1
        return table.set_column(SCHEMA.get_field_index("split"), SCHEMA.field("split"), pa.array(splits, pa.string()))


def _messages(rows: Sequence[Sequence[Turn] | None]) -> Any:
    """Return conversations as an Arrow array, built from flat columns: far quicker than from nested objects."""
    offsets: list[int | None] = []
    turns: list[Turn] = []
    for row in rows:
        offsets.append(None if row is None else len(turns))
        turns += row or ()
    columns = zip(*turns, strict=True) if turns else [()] * len(MESSAGE)
    fields = [pa.array(column, field.type) for column, field in zip(columns, MESSAGE, strict=True)]
    messages = pa.StructArray.from_arrays(fields, fields=list(MESSAGE))
    return pa.ListArray.from_arrays(pa.array([*offsets, len(turns)], pa.int32()), messages, type=SCHEMA.field("messages").type)


def _weight(text: str) -> int:
    return len(text) if text.isascii() else len(text) * WIDEST_CHARACTER_BYTES


def _sync_folder(folder: Path) -> None:
    """Make the rename itself survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
