"""Conversations of a file in any form the studio reads, for programs that have no studio around them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from app.domain.datasets import Message, Problem, message_from
from app.domain.errors import Invalid
from workers.curation.reading import Conversation, Reading, not_understood

if TYPE_CHECKING:
    from collections.abc import Iterator

PARQUET_MARK = b"PAR1"
ROWS_AT_ONCE = 500


def read_conversations(path: Path) -> Iterator[tuple[int, list[Message]]]:
    """Yield (line, messages) of each usable row of JSONL, JSON, CSV or Hone's own Parquet; Invalid when there is none."""
    with path.open("rb") as file:
        is_parquet = file.read(len(PARQUET_MARK)) == PARQUET_MARK
    yield from _parquet_rows(path) if is_parquet else _text_rows(path)


def _parquet_rows(path: Path) -> Iterator[tuple[int, list[Message]]]:
    with pq.ParquetFile(path) as file:
        if not {"messages", "line"} <= set(file.schema_arrow.names) or file.metadata.num_rows == 0:
            raise Invalid(f"{path.name} holds no rows in the form that Hone writes.", param="dataset", code="no_rows")
        for batch in file.iter_batches(ROWS_AT_ONCE, columns=["line", "messages"]):
            for row in batch.to_pylist():
                yield row["line"], [message_from(message) for message in row["messages"]]


def _text_rows(path: Path) -> Iterator[tuple[int, list[Message]]]:
    reading = Reading(path, path.name)
    usable, first = 0, None
    for found in reading:
        if isinstance(found, Conversation):
            usable += 1
            yield found.line, [Message(role=turn.role, content=turn.content) for turn in found.turns]
        elif first is None:
            first = found if isinstance(found, Problem) else not_understood(found)
    if not usable:
        why = f"the first, on line {first.line:,}: {first.reason}" if first else "it is empty"
        raise Invalid(f"No row of {path.name} can be used; {why}.", param="dataset", code="no_rows")
