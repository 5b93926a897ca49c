"""Conversations of a file in any form the studio reads, for programs that have no studio around them."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from app.domain.datasets import Message, message_from
from app.domain.errors import Invalid
from workers.curation.containers import UploadedFile
from workers.curation.reading import Reading, Unknown, Usable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workers.curation.rows import Aside

PARQUET_MARK = b"PAR1"
ROWS_AT_ONCE = 500
OWN_COLUMNS = {"messages", "line", "hash"}


def read_conversations(path: Path) -> Iterator[tuple[int, list[Message]]]:
    """Yield (line, messages) of each usable row of a file that the studio reads, Hone's own Parquet included; Invalid without any."""
    yield from _own_rows(path) if _is_own(path) else _rows_of_others(path)


def _is_own(path: Path) -> bool:
    with path.open("rb") as file:
        if file.read(len(PARQUET_MARK)) != PARQUET_MARK:
            return False
    try:
        return set(pq.read_schema(path).names) >= OWN_COLUMNS
    except ValueError:
        return False


def _own_rows(path: Path) -> Iterator[tuple[int, list[Message]]]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(ROWS_AT_ONCE, columns=["line", "messages"]):
            for row in batch.to_pylist():
                yield row["line"], [message_from(message) for message in row["messages"]]


def _rows_of_others(path: Path) -> Iterator[tuple[int, list[Message]]]:
    usable, first = 0, None
    with tempfile.TemporaryDirectory(prefix="hone-") as folder:
        for _, found in Reading([UploadedFile(path, path.name)], Path(folder) / "unpacked"):
            if isinstance(found, Usable):
                usable += 1
                yield found.line, [message_from(turn._asdict()) for turn in found.example.turns]
            elif first is None:
                first = found.as_aside() if isinstance(found, Unknown) else found
    if not usable:
        raise Invalid(f"No row of {path.name} can be used; {_why(first)}.", param="dataset", code="no_rows")


def _why(first: Aside | None) -> str:
    return f"the first, on line {first.line:,}: {first.reason}" if first else "it is empty"
