"""Rows of a dataset's Parquet file, by page: only the row groups a page touches are read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from app.domain.datasets import Row

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
                    table = file.read_row_group(group, columns=["row", "split", "messages"])
                    low = max(0, first - start)
                    found += [_row(r) for r in table.slice(low, limit - len(found)).to_pylist()]
                start += size
        return found, first + limit < total

    def jsonl(self) -> Iterator[bytes]:
        """Yield the rows as OpenAI chat JSONL, one line each."""
        with pq.ParquetFile(self.path) as file:
            for batch in file.iter_batches(batch_size=500, columns=["messages"]):
                lines = (json.dumps({"messages": messages}, ensure_ascii=False) for messages in batch.column(0).to_pylist())
                yield "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogatepass")


def _row(raw: dict[str, Any]) -> Row:
    return Row.model_validate(raw)
