"""Rows of a dataset's Parquet file, by page: only the row groups a page touches are read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from app.domain.datasets import STORED, Row, in_openai_shape, row_from

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class ParquetRows:
    """A Parquet file of rows (columns row, messages, split, hash, line; `row` counts from 0 in file order)."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def page(self, after: int, limit: int) -> tuple[list[Row], bool]:
        """Return up to `limit` rows with a number above `after`, and whether there are more."""
        first, found = after + 1, list[Row]()
        with pq.ParquetFile(self.path) as file:
            total, start = file.metadata.num_rows, 0
            for group in range(file.metadata.num_row_groups):
                size = file.metadata.row_group(group).num_rows
                if start + size > first and start < first + limit:
                    table = file.read_row_group(group, columns=_there(file))
                    low = max(0, first - start)
                    found += [row_from(r) for r in table.slice(low, limit - len(found)).to_pylist()]
                start += size
        return found, first + limit < total

    def jsonl(self) -> Iterator[bytes]:
        """Yield the rows as JSONL in OpenAI's shapes, one line each."""
        with pq.ParquetFile(self.path) as file:
            for batch in file.iter_batches(batch_size=500, columns=_there(file)):
                lines = (json.dumps(in_openai_shape(row_from(raw)), ensure_ascii=False) for raw in batch.to_pylist())
                yield "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogatepass")


def _there(file: pq.ParquetFile) -> list[str]:
    """Return which of the columns a file has; one that was written before a column came lacks it."""
    names = set(file.schema_arrow.names)
    return [column for column in STORED if column in names]
