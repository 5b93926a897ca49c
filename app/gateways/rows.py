"""Rows of a dataset's Parquet file, by page: out of an Arrow file beside the store, which is made of it when the rows are first shown.

Parquet is packed well and opened slowly: whoever wants fifty rows unpacks a group of thousands. The Arrow file holds what is shown, in
batches of about a thousand rows, as it lies in memory, so that a page costs what its own rows cost. It can be made again at any time.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
import threading
import time
from bisect import bisect_right
from contextlib import contextmanager, suppress
from itertools import accumulate, groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakValueDictionary

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import ipc

from app.domain.datasets import STORED, Row, in_openai_shape, row_from, side_by_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

BATCH_ROWS, BATCH_BYTES = 1_000, 1024 * 1024
STARTS = b"starts"
"""Where the last batch, which has no rows, says as JSON with which row each of the others begins, and how many rows there are."""
SAID_IN = ("messages", "rejected")
PART = ".part"
ABANDONED_SECONDS = 3600.0
"""What is unfinished for so long was left by a process that is gone."""
_making = WeakValueDictionary[Path, threading.Lock]()
"""A lock for each file of pages that is being made, or waited for: nobody waits for another dataset's."""
_choosing = threading.Lock()
_outgrew: dict[Path, int] = {}
"""How large the pages of a file had become when there was no room for more: they are begun again once there is."""


class _Opened(NamedTuple):
    """An open file of rows: the first row of each batch and the end of the last one, and how to get a batch."""

    starts: list[int]
    batch: Callable[[int], Any]

    def holding(self, row: int) -> int:
        """Return the batch that a row is in."""
        return bisect_right(self.starts, row) - 1


class RowPages:
    """A Parquet file of rows, counted from 0 in its order, and the Arrow file `pages` that is made of it."""

    def __init__(self, path: Path, pages: Path) -> None:
        self.path, self.pages = path, pages

    @property
    def count(self) -> int:
        """How many rows there are."""
        return int(pq.read_metadata(self.path).num_rows)

    def page(self, after: int, limit: int) -> tuple[list[Row], bool]:
        """Return up to `limit` rows with a number above `after`, and whether there are more."""
        with self._opened() as file:
            first, total = after + 1, file.starts[-1]
            end, found = min(first + limit, total), list[Row]()
            while first < end:
                number = file.holding(first)
                low = first - file.starts[number]
                taken = file.batch(number).slice(low, end - first)
                found += [row_from(raw) for raw in taken.to_pylist()]
                first += taken.num_rows
            return found, end < total

    def rows_at(self, numbers: Sequence[int]) -> list[Row]:
        """Return the rows of these numbers, in this order; those that are not there are left out."""
        found = {row.row: row for row in self.each(numbers)}
        return [found[number] for number in numbers if number in found]

    def each(self, numbers: Iterable[int]) -> Iterator[Row]:
        """Yield the rows of these numbers as the file has them in order; those that are not there are left out."""
        with self._opened() as file:
            there = sorted({number for number in numbers if 0 <= number < file.starts[-1]})
            for place, wanted in groupby(there, file.holding):
                batch = file.batch(place)
                # Row by row: taking several at once copies all the columns they have, which costs more than it saves.
                for number in wanted:
                    yield row_from(batch.slice(number - file.starts[place], 1).to_pylist()[0])

    def search(self, text: str, after: int, limit: int) -> tuple[list[int], bool]:
        """Return up to `limit` numbers above `after` of rows in which `text` is said, in any case, and whether there are more."""
        found: list[int] = []
        with self._opened() as file:
            first = after + 1
            for number in range(file.holding(first), len(file.starts) - 1):
                start = file.starts[number]
                found += [row for place in _saying(file.batch(number), text) if (row := start + place) >= first]
                if len(found) > limit:
                    break
        return found[:limit], len(found) > limit

    def jsonl(self, *, every_side: bool = False) -> Iterator[bytes]:
        """Yield the rows as JSONL in OpenAI's shapes, one line each; a row whose side its hash does not tell says it itself."""
        with pq.ParquetFile(self.path) as file:
            for batch in file.iter_batches(batch_size=500, columns=[*_there(file), "hash"]):
                yield "".join(f"{_line(raw, every_side=every_side)}\n" for raw in batch.to_pylist()).encode("utf-8", "surrogatepass")

    @contextmanager
    def _opened(self) -> Iterator[_Opened]:
        """Open the Arrow file; where there is no room for one, the Parquet file does."""
        with suppress(OSError):
            if not self.pages.is_file():
                self._make()
        try:
            source = pa.memory_map(str(self.pages))
        except OSError:
            with pq.ParquetFile(self.path) as file:
                columns = _there(file)
                yield _Opened(_starts(_group_sizes(file)), lambda number: file.read_row_group(number, columns=columns))
            return
        with source:
            reader = ipc.open_file(source)
            told = reader.get_batch_with_custom_metadata(reader.num_record_batches - 1).custom_metadata[STARTS]
            yield _Opened(json.loads(told), reader.get_batch)

    def _make(self) -> None:
        """Write the Arrow file: aside, and under its name once it is whole. Requests that come together make it once."""
        with _choosing:
            making = _making.setdefault(self.pages, threading.Lock())
        with making:
            if self.pages.is_file():
                return
            self.pages.parent.mkdir(parents=True, exist_ok=True)
            _drop_abandoned(self.pages.parent)
            if not _has_room_for(self.path, self.pages.parent):
                return
            descriptor, name = tempfile.mkstemp(dir=self.pages.parent, suffix=PART)
            try:
                with os.fdopen(descriptor, "wb") as part:
                    _copy(self.path, part)
                    part.flush()
                    os.fsync(part.fileno())  # a name that outlives a power cut must not stand for pages that do not
                Path(name).replace(self.pages)
            finally:
                Path(name).unlink(missing_ok=True)
                if not self.path.is_file():  # the rows were removed meanwhile, and their pages with them
                    self.pages.unlink(missing_ok=True)


def _copy(path: Path, target: Any) -> None:
    """Write what is shown of a Parquet file's rows as an Arrow file, in batches of bounded size."""
    with pq.ParquetFile(path) as file:
        columns = _there(file)
        schema, sizes = pa.schema([file.schema_arrow.field(column) for column in columns]), list[int]()
        with ipc.new_file(target, schema) as writer:
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, columns=columns, use_threads=False).combine_chunks().replace_schema_metadata(None)
                for batch in table.to_batches(max_chunksize=_batch_rows(table)):
                    writer.write_batch(batch)
                    sizes.append(batch.num_rows)
                _require_room(path, target)
            writer.write_batch(pa.RecordBatch.from_pylist([], schema), custom_metadata={STARTS: json.dumps(_starts(sizes)).encode()})


def _batch_rows(table: Any) -> int:
    """Return how many rows make a batch."""
    batches: int = max(1, -(-table.num_rows // BATCH_ROWS), -(-table.nbytes // BATCH_BYTES))
    return max(1, -(-int(table.num_rows) // batches))


def _require_room(path: Path, target: Any) -> None:
    """Raise OSError once pages take half of the room there was: what a file tells of its size leaves out what its rows repeat."""
    written = target.tell()
    if written > shutil.disk_usage(target.fileno()).free:
        _outgrew[path] = written
        raise OSError(errno.ENOSPC, "The pages of these rows would take more than half of the room there is")


def _group_sizes(file: pq.ParquetFile) -> list[int]:
    return [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]


def _starts(sizes: Sequence[int]) -> list[int]:
    return [*accumulate(sizes, initial=0)]


def _line(raw: dict[str, Any], *, every_side: bool) -> str:
    row = row_from(raw)
    own_side = {"split": str(row.split)} if every_side or row.split != side_by_hash(raw["hash"]) else {}
    return json.dumps(in_openai_shape(row) | own_side, ensure_ascii=False)


def _there(file: pq.ParquetFile) -> list[str]:
    """Return which of the columns a file has; one that was written before a column came lacks it."""
    names = set(file.schema_arrow.names)
    return [column for column in STORED if column in names]


def _saying(batch: Any, text: str) -> list[int]:
    """Return the places of a batch's rows in which a text is said."""
    places: set[int] = set()
    for name in SAID_IN:
        if name in batch.schema.names:
            column = batch.column(name)
            for turns in column.chunks if isinstance(column, pa.ChunkedArray) else [column]:
                places |= _saying_turns(turns, text)
    return sorted(places)


def _saying_turns(turns: Any, text: str) -> set[int]:
    said = pc.struct_field(turns.flatten(), "content")
    if not len(said):
        return set()
    # One look at all of it as a single text first: asking turn by turn takes several times as long, and most batches have nothing.
    if not pc.match_substring(_in_one(said), text, ignore_case=True)[0].as_py():
        return set()
    rows = pc.list_parent_indices(turns).filter(pc.match_substring(said, text, ignore_case=True))
    return set(rows.to_pylist())


def _in_one(texts: Any) -> Any:
    """Return texts that follow each other in memory as one text, without copying them."""
    _, offsets, content = texts.buffers()
    bounds = pa.Array.from_buffers(pa.int32(), len(texts) + 1, [None, offsets], offset=texts.offset)
    ends = pa.array([bounds[0].as_py(), bounds[-1].as_py()], pa.int32())
    return pa.Array.from_buffers(pa.string(), 1, [None, ends.buffers()[1], content])


def _has_room_for(path: Path, folder: Path) -> bool:
    """Whether a file's pages would leave half of the room there is: a disk is not filled up for the sake of speed."""
    metadata = pq.read_metadata(path)
    unpacked = sum(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
    return 2 * max(int(unpacked), _outgrew.get(path, 0)) < shutil.disk_usage(folder).free


def _drop_abandoned(folder: Path) -> None:
    for part in folder.glob(f"*{PART}"):
        with suppress(FileNotFoundError):
            if time.time() - part.stat().st_mtime > ABANDONED_SECONDS:
                part.unlink()
