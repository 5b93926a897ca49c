"""Rows of Parquet and Arrow files, batch by batch; nested columns are objects and lists, as JSON has them.

A file's own figures are looked at before anything is read, since a few kilobytes can promise terabytes.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from datetime import date, datetime, time
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from app.domain.datasets import MAX_DEPTH
from app.domain.errors import Invalid
from workers.curation.containers import FREE_BYTES, MAX_RATIO, is_the_disk
from workers.curation.rows import Aside, RawRow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ROWS_AT_ONCE = 500
MAX_COLUMNS = 2_000
MAX_ROWS = 2**31 - 2
FIRST_ROW = 2
"""Rows are counted as in a table whose header is row 1."""


def parquet_rows(path: Path, max_bytes: int, tell: Callable[[float], None]) -> Iterator[RawRow | Aside]:
    """Yield the rows of a Parquet file; `tell` hears which share of them is read."""
    with _in_words(), pq.ParquetFile(path, thrift_string_size_limit=64 * 2**20, thrift_container_size_limit=10**6) as file:
        metadata = file.metadata
        _check_promise(metadata, path.stat().st_size, max_bytes)
        _check_schema(file.schema_arrow)
        yield from _rows(file.iter_batches(ROWS_AT_ONCE, use_threads=False), lambda read: tell(read / max(1, metadata.num_rows)))


def arrow_rows(path: Path, tell: Callable[[float], None]) -> Iterator[RawRow | Aside]:
    """Yield the rows of an Arrow file or stream."""
    with _in_words(), pa.OSFile(str(path)) as source:
        size = source.size()
        yield from _rows(_batches(source), lambda _: tell(source.tell() / max(1, size)))


def _batches(source: Any) -> Iterator[Any]:
    mark = source.read(6)
    source.seek(0)
    if mark == b"ARROW1":
        reader = pa.ipc.open_file(source)
        _check_schema(reader.schema)
        yield from (_checked(reader.get_batch(place)) for place in range(reader.num_record_batches))
    else:
        stream = pa.ipc.open_stream(source)
        _check_schema(stream.schema)
        yield from map(_checked, stream)


def _checked(batch: Any) -> Any:
    """Return a batch whose offsets point into it: in Arrow's own form they are taken from the file as they stand."""
    batch.validate(full=True)
    return batch


def _rows(batches: Any, tell: Callable[[int], None]) -> Iterator[RawRow | Aside]:
    read = 0
    for batch in batches:
        for start in range(0, batch.num_rows, ROWS_AT_ONCE):
            for cells in _cells(batch.slice(start, ROWS_AT_ONCE)):
                row = FIRST_ROW + read
                read += 1
                yield RawRow(row, cells) if isinstance(cells, dict) else Aside(row, cells)
            tell(read)


def _cells(batch: Any) -> Iterator[dict[str, Any] | str]:
    """Yield each row's cells, or what is wrong with it."""
    try:
        rows: list[dict[str, Any]] = batch.to_pylist()
    except (ValueError, OverflowError) as error:
        if batch.num_rows == 1:
            yield f"a value that cannot be read ({error})"
            return
        for place in range(batch.num_rows):
            yield from _cells(batch.slice(place, 1))
        return
    for row in rows:
        yield _json(row) if row else "an empty row"


def _json(value: Any) -> Any:
    """Return a value as JSON has it: dates in ISO's form, decimals as they are written, what is no number as nothing."""
    if isinstance(value, str) or value is None:
        return value
    if isinstance(value, dict):
        return {str(key): _json(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [_json(child) for child in value]
    return _scalar(value)


def _scalar(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, int) else str(value)


def _check_promise(metadata: Any, size: int, max_bytes: int) -> None:
    promised = sum(metadata.row_group(place).total_byte_size for place in range(metadata.num_row_groups))
    if promised > max_bytes or (promised > FREE_BYTES and promised > MAX_RATIO * size) or metadata.num_rows > MAX_ROWS:
        message = f"This Parquet file of {size:,} bytes says that it unpacks to {promised:,}. Save fewer rows in one file and upload that."
        raise Invalid(message, param="file", code="bomb")


def _check_schema(schema: Any) -> None:
    if len(schema) > MAX_COLUMNS:
        raise Invalid(f"The file has {len(schema):,} columns; up to {MAX_COLUMNS:,} can be read.", param="file", code="too_many_columns")
    pending = [(field.type, 1) for field in schema]
    while pending:
        kind, depth = pending.pop()
        if depth > MAX_DEPTH:
            raise Invalid(f"The file's columns are nested deeper than {MAX_DEPTH}.", param="file", code="too_deep")
        pending += [(kind.field(place).type, depth + 1) for place in range(kind.num_fields)]


@contextmanager
def _in_words() -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, ValueError, OSError) as error:
        if isinstance(error, MemoryError) or is_the_disk(error):
            raise
        what = str(error).splitlines()[0][:160] if str(error) else "no reason given"
        message = f"The file is damaged or no whole Parquet or Arrow file ({what}). Save or download it again."
        raise Invalid(message, param="file", code="damaged") from None
