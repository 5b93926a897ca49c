"""All rows of a dataset as a file to take away: JSONL for programs, or a table with commas for spreadsheets."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from app.domain.exported import COLUMNS, cells_of
from app.domain.spreadsheets import csv_line
from app.services.runs import export_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.services.accounts import Identity
    from app.services.datasets import Datasets

BOM = "\N{ZERO WIDTH NO-BREAK SPACE}"
"""Without it a spreadsheet takes UTF-8 for the machine's old encoding."""


class Export(NamedTuple):
    """A file as it is handed out."""

    filename: str
    media_type: str
    content: Iterator[bytes]


def export(datasets: Datasets, by: Identity, dataset_id: str, kind: str) -> Export:
    """Return all rows as `jsonl` or `csv`; Conflict while there are none."""
    name = export_name(datasets.get(by, dataset_id))
    if kind == "csv":
        lines = datasets.export(by, dataset_id, every_side=True)
        return Export(name.removesuffix(".jsonl") + ".csv", "text/csv; charset=utf-8", _table(lines))
    return Export(name, "application/jsonl", datasets.export(by, dataset_id))


def _table(blocks: Iterator[bytes]) -> Iterator[bytes]:
    yield (BOM + csv_line(COLUMNS)).encode()
    for block in blocks:
        # Only by line feeds: texts may hold other characters that end a line.
        rows = [json.loads(line.decode("utf-8", "surrogatepass")) for line in block.split(b"\n") if line]
        yield "".join(csv_line(cells_of(row)) for row in rows).encode("utf-8", "replace")
