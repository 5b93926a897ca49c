"""Hone's own Parquet: rows are written as they come, in bounded groups, to a file that gets its name only when it is whole."""

from __future__ import annotations

import hashlib
import io
import os
from collections import Counter, deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from app.domain.datasets import ROW_GROUP_ROWS, Example, Split, moved_to_fill_both_sides, row_hash, side_by_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from app.domain.datasets import Turn

GROUP_BYTES = 16 * 1024 * 1024
"""Rows of several megabytes make smaller groups, so that memory stays bounded."""
WIDEST_CHARACTER_BYTES = 4
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
REPEATED = [f"{name}.list.element.{field.name}" for name in ("messages", "rejected") for field in MESSAGE] + ["tools", "split", "file"]
"""Columns whose values may come again and again; those of others do not, and to look for that takes time."""
PACKING: dict[str, Any] = {"compression": "none", "use_dictionary": REPEATED, "write_statistics": False}
"""Rows take about as much room as the files they come from. Packed they took two thirds of it, but as much time again to be written."""
WRITTEN_AT_ONCE = 4 * 1024 * 1024
MAX_WAITING = 2
"""So many groups at most wait to be packed, while the next one is read."""


class RowBlock(NamedTuple):
    """Rows that were read together, as Arrow has them: their lines, conversations and hashes, and which are held out by their hash."""

    lines: Any
    messages: Any
    hashes: Any
    held_out: Any

    def between(self, start: int, stop: int) -> RowBlock:
        """Return some of the rows, which follow each other."""
        return RowBlock(*(column.slice(start, stop - start) for column in self))


def part_of(out: Path) -> Path:
    """Return where the file is written until it is whole."""
    return out.with_name(out.name + ".part")


class RowWriter:
    """Writes rows to `out`; leaves nothing behind unless `finish` was reached."""

    def __init__(self, out: Path) -> None:
        self.out, self.part = out, part_of(out)
        self.counts = dict.fromkeys(Split, 0)
        self._numbered = self._group_bytes = self._held_bytes = self._held_rows = 0
        self._group: list[tuple[Example, int, int]] = []
        self._blocks: list[Any] = []
        self._given: set[Split] = set()
        self._file: _Behind | None = None

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
        return self._numbered + len(self._group)

    def add(self, example: Example, line: int, file: int = 0) -> None:
        """Take a row, which starts on that line of that file."""
        self._group.append((example, line, file))
        self._group_bytes += _weight(example)
        if len(self._group) >= ROW_GROUP_ROWS or self._group_bytes >= GROUP_BYTES:
            self._flush()

    def add_block(self, block: RowBlock, file: int = 0, split: Split | None = None) -> None:
        """Take rows of a file that were read together; `split` is the side that was given for them."""
        self._flush_group()
        number = len(block.lines)
        splits = pa.array([Split.TRAIN, Split.TEST]).take(block.held_out.cast(pa.int8())) if split is None else pa.repeat(split, number)
        given = {
            "messages": block.messages,
            "split": splits,
            "hash": block.hashes,
            "line": block.lines,
            "file": pa.repeat(pa.scalar(file, pa.int16()), number),
        }
        held_out = pc.sum(pc.equal(splits, Split.TEST)).as_py()
        self._count({Split.TRAIN: number - held_out, Split.TEST: held_out}, {split} if split else set())
        self._hold(given, number)

    def copy(self, base: Path) -> None:
        """Take all rows of an earlier version as they are, before any other."""
        with pq.ParquetFile(base) as file:
            for group in range(file.metadata.num_row_groups):
                table = in_schema(file.read_row_group(group))
                self._opened().write(table)
                add_sides(self.counts, table.column("split").to_pylist())
                self._numbered += table.num_rows
        self._given |= set(Split)

    def finish(self, is_learnt: Callable[[int], bool] | None = None) -> str | None:
        """Fill both sides of the split, give the file its name and return its SHA-256; None without rows.

        Rows of which `is_learnt` is true are put among those to learn from, whatever was given before.
        """
        self._flush()
        sha256 = self._close()
        if not self._numbered:
            return None
        if is_learnt:
            sha256 = None
            self.counts = split_anew(self.part, lambda table: [
                Split.TRAIN if is_learnt(row) else Split(split)
                for row, split in zip(table.column("row").to_pylist(), table.column("split").to_pylist(), strict=True)
            ])  # fmt: skip
        if 0 in self.counts.values() and self._split_again():
            sha256 = None
        _sync(self.part)
        self.part.replace(self.out)
        _sync(self.out.parent)
        return sha256 or _sha256_of(self.out)

    def _flush(self) -> None:
        self._flush_group()
        if self._blocks:
            self._opened().write(pa.concat_tables(self._blocks))
            self._blocks, self._held_bytes, self._held_rows = [], 0, 0

    def _flush_group(self) -> None:
        """Turn rows that came one by one into a block."""
        if not self._group:
            return
        examples = [example for example, _, _ in self._group]
        hashes = [row_hash(each.turns, rejected=each.rejected, label=each.label, tools=each.tools) for each in examples]
        splits = [each.split or side_by_hash(one) for each, one in zip(examples, hashes, strict=True)]
        self._count(Counter(splits), {each.split for each in examples if each.split})
        given = {
            "messages": _messages([each.turns for each in examples]),
            "rejected": _messages([each.rejected for each in examples]),
            "label": pa.array([each.label for each in examples], pa.bool_()),
            "tools": pa.array([each.tools for each in examples], pa.string()),
            "split": pa.array(splits, pa.string()),
            "hash": pa.array(hashes, pa.string()),
            "line": pa.array([line for _, line, _ in self._group], pa.int32()),
            "file": pa.array([file for _, _, file in self._group], pa.int16()),
        }
        self._group.clear()
        self._group_bytes = 0
        self._hold(given, len(examples))

    def _count(self, counts: dict[Split, int], given: set[Split]) -> None:
        for split, count in counts.items():
            self.counts[split] += count
        self._given |= given

    def _hold(self, given: dict[str, Any], number: int) -> None:
        """Number rows, and write them with others when there are enough; what they do not carry stays empty."""
        given["row"] = pa.array(np.arange(self._numbered, self._numbered + number), pa.int64())
        columns = [given[field.name] if field.name in given else pa.nulls(number, field.type) for field in SCHEMA]
        table = pa.Table.from_arrays(columns, schema=SCHEMA)
        self._numbered += number
        self._blocks.append(table)
        self._held_bytes += table.nbytes
        self._held_rows += number
        if self._held_bytes >= GROUP_BYTES or self._held_rows >= ROW_GROUP_ROWS:
            self._flush()

    def _opened(self) -> _Behind:
        if self._file is None:
            self.part.parent.mkdir(parents=True, exist_ok=True)
            self._file = _Behind(self.part)
        return self._file

    def _close(self) -> str | None:
        """End the file, if there is one, and return its SHA-256."""
        file, self._file = self._file, None
        return file.close() if file else None

    def _split_again(self) -> bool:
        """Split by hash what no file has split for us, and move a row over when one side would be empty; say whether rows have moved.

        A file that puts all of its rows on one side has split nothing: a tenth of them is held out as of any other.
        """
        moved = moved_to_fill_both_sides(set(hashes_in(self.part)))
        if not moved and not self._given:
            return False
        self.counts = split_anew(self.part, lambda table: [moved.get(one) or side_by_hash(one) for one in table.column("hash").to_pylist()])
        return True


class _Behind:
    """Packs groups of rows into a file in a thread of its own, so that the next group is read meanwhile."""

    def __init__(self, path: Path) -> None:
        self._sink = _Hashed(path)
        # Without a buffer, each page would ask for Python, which is busy making rows.
        self._buffer = pa.BufferedOutputStream(pa.PythonFile(self._sink, mode="w"), WRITTEN_AT_ONCE)
        self._file = pq.ParquetWriter(self._buffer, SCHEMA, **PACKING)
        self._thread = ThreadPoolExecutor(1)
        self._waiting: deque[Future[None]] = deque()

    def write(self, table: Any) -> None:
        """Write rows soon; what went wrong with earlier ones is raised here."""
        while len(self._waiting) >= MAX_WAITING:
            self._waiting.popleft().result()
        self._waiting.append(self._thread.submit(self._file.write_table, table, row_group_size=ROW_GROUP_ROWS))

    def close(self) -> str:
        """Write what is waiting, end the file and return its SHA-256."""
        with closing(self._sink), closing(self._buffer), closing(self._file):
            try:
                while self._waiting:
                    self._waiting.popleft().result()
            finally:
                self._thread.shutdown(cancel_futures=True)
        return self._sink.sha256.hexdigest()


class _Hashed(io.BufferedWriter):
    """A new file, whose SHA-256 is known once it is written."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path, "wb"))
        self.sha256 = hashlib.sha256()

    def write(self, data: Any, /) -> int:
        """Write data, and count it in."""
        self.sha256.update(data)
        return super().write(data)


def hashes_in(path: Path) -> Iterator[str]:
    """Yield the hash of each row of a file."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(columns=["hash"]):
            yield from batch.column(0).to_pylist()


def add_sides(counts: dict[Split, int], splits: Sequence[str]) -> None:
    """Add rows to how many there are on each side."""
    for split, number in Counter(splits).items():
        counts[Split(split)] += number


def split_anew(path: Path, splits_of: Callable[[Any], list[Split]]) -> dict[Split, int]:
    """Write a file again with other splits, which are told part by part; return how many rows each side has."""
    counts = dict.fromkeys(Split, 0)
    place = SCHEMA.get_field_index("split")
    with (
        pq.ParquetFile(path) as file,
        pq.ParquetWriter(part_of(path), SCHEMA, **PACKING) as again,
    ):
        for group in range(file.metadata.num_row_groups):
            table = file.read_row_group(group)
            splits = splits_of(table)
            add_sides(counts, splits)
            again.write_table(table.set_column(place, SCHEMA.field("split"), pa.array(splits, pa.string())), row_group_size=ROW_GROUP_ROWS)
    part_of(path).replace(path)
    return counts


def in_schema(table: Any) -> Any:
    """Return rows of an earlier version with the columns that have come since, which are empty."""
    names = set(table.column_names)
    columns = [
        table.column(field.name).cast(field.type) if field.name in names else pa.nulls(table.num_rows, field.type) for field in SCHEMA
    ]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


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


def conversations(roles: Any, contents: Any, bounds: Any) -> Any:
    """Return conversations of plain turns; `bounds` says where each begins among the turns, and where the last one ends."""
    given = {"role": roles, "content": contents}
    fields = [given[field.name] if field.name in given else pa.nulls(len(roles), field.type) for field in MESSAGE]
    messages = pa.StructArray.from_arrays(fields, fields=list(MESSAGE))
    return pa.ListArray.from_arrays(bounds, messages, type=SCHEMA.field("messages").type)


def _weight(example: Example) -> int:
    """Return how many bytes the texts of a row take at most, those it passes to tools and says of them as well."""
    texts = [example.tools, *chain.from_iterable(example.turns), *chain.from_iterable(example.rejected or ())]
    return sum(len(text) if text.isascii() else len(text) * WIDEST_CHARACTER_BYTES for text in texts if isinstance(text, str))


def _sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    """Make a file, or the names in a folder, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
