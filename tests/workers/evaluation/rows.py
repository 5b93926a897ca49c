"""A dataset's file as an import would have made it, of rows whose side and hash are given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from app.domain.datasets import Example, Split, Turn
from workers.curation.parquet import SCHEMA
from workers.curation.stored import stored_example


def row(question: str, answer: str, side: Split = Split.TRAIN, *, system: str = "", **changes: Any) -> dict[str, Any]:
    """Return a row of the file."""
    first = [Turn("system", system)] if system else []
    stored = stored_example(Example([*first, Turn("user", question), Turn("assistant", answer)], split=side), {"line": 1, "file": 0})
    return stored | changes


def write_rows(file: Path, rows: list[dict[str, Any]]) -> Path:
    """Write rows, numbered as they come."""
    numbered = [each | {"row": number} for number, each in enumerate(rows)]
    pq.write_table(pa.Table.from_pylist(numbered, SCHEMA), file)
    return file
