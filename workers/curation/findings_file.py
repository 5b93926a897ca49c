"""The file of what was found in each row: columns without texts, in small batches, so that a page reads only its own.

Arrow IPC rather than Parquet, since one column of a million rows is then had in milliseconds, and a batch by its number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from app.gateways.findings import LOOKED_THROUGH_BELOW
from workers.curation.parquet import part_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

ROWS_OF_A_BATCH = 4_096
WORD = pa.dictionary(pa.int16(), pa.string())
MARK = pa.struct([("turn", pa.int32()), ("start", pa.int32()), ("end", pa.int32()), ("kind", pa.string())])
SCHEMA = pa.schema(
    [
        pa.field("flags", pa.uint32()),
        pa.field("tokens", pa.int32()),
        pa.field("answer_tokens", pa.int32()),
        pa.field("exact", pa.int64()),
        pa.field("near", pa.int64()),
        pa.field("other_answer", pa.int64()),
        pa.field("keep", pa.bool_()),
        pa.field("leak_of", pa.int64()),
        pa.field("draw", pa.uint32()),
        pa.field("label", WORD),
        pa.field("language", WORD),
        pa.field("spans", pa.list_(MARK)),
    ]
)


class Codes:
    """Words by number, in the order in which they came; for columns of few different words."""

    def __init__(self, words: Iterable[str] = ()) -> None:
        self.numbers = {word: number for number, word in enumerate(words)}

    def __getitem__(self, word: str) -> int:
        return self.numbers.setdefault(word, len(self.numbers))

    @property
    def words(self) -> list[str]:
        """All words, each at its number."""
        return list(self.numbers)


class MarkColumns:
    """The marks of all rows as columns, and where each row's begin."""

    def __init__(self, columns: dict[str, NDArray[Any]], kinds: Sequence[str], rows: int) -> None:
        self._columns, self._kinds = columns, pa.array(kinds, pa.string())
        self._bounds = np.searchsorted(columns["row"], np.arange(rows + 1)).astype(np.int32)

    def between(self, low: int, high: int) -> Any:
        """Return the marks of rows from `low` up to but without `high`, as an Arrow list a row."""
        start, end = int(self._bounds[low]), int(self._bounds[high])
        numbers = {name: self._columns[name][start:end] for name in ("turn", "start", "end")}
        kind = self._kinds.take(pa.array(self._columns["kind"][start:end])) if end > start else pa.array([], pa.string())
        values = pa.StructArray.from_arrays([*(pa.array(numbers[name]) for name in numbers), kind], fields=list(MARK))
        return pa.ListArray.from_arrays(pa.array(self._bounds[low : high + 1] - start), values)


def write_findings(out: Path, columns: dict[str, Any], marks: MarkColumns, *, looked_through_below: int) -> None:
    """Write the file, which gets its name only when it is whole; `columns` are numpy's, but for words, which are Arrow's.

    Rows with a `draw` of less than `looked_through_below` were looked through for personal data.
    """
    rows = len(columns["flags"])
    part = part_of(out)
    part.parent.mkdir(parents=True, exist_ok=True)
    try:
        schema = SCHEMA.with_metadata({LOOKED_THROUGH_BELOW: str(looked_through_below)})
        with pa.ipc.new_file(part, schema, options=pa.ipc.IpcWriteOptions(compression="lz4", unify_dictionaries=True)) as file:
            for low in range(0, rows, ROWS_OF_A_BATCH):
                high = min(rows, low + ROWS_OF_A_BATCH)
                cells = [_slice(columns[field.name], low, high, field.type) for field in SCHEMA if field.name != "spans"]
                file.write_batch(pa.RecordBatch.from_arrays([*cells, marks.between(low, high)], schema=schema))
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)


def words(numbers: NDArray[np.int16], meaning: Sequence[str], *, nothing: int) -> Any:
    """Return numbered words as an Arrow column; null for `nothing`."""
    return pa.DictionaryArray.from_arrays(pa.array(numbers, mask=numbers == nothing), pa.array(meaning, pa.string()))


def _slice(column: Any, low: int, high: int, kind: Any) -> Any:
    cells = column[low:high]
    return cells if isinstance(cells, pa.Array) else pa.array(cells, kind)
