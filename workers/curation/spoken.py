"""All that is said in a batch of rows as flat columns, which are searched at once instead of row by row."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from app.domain.datasets import ROW_GROUP_ROWS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

ROLES = ("system", "user", "assistant", "tool", "text")
SYSTEM, USER, ASSISTANT, TOOL, TEXT = range(len(ROLES))


@dataclass(frozen=True)
class Spoken:
    """The turns of a batch's rows, those of worse answers last: which row and turn each is, who says it, and what.

    `turn` counts `Row.texts`. Many turns say the same (a system prompt, a label), so a search looks at `distinct` texts only.
    """

    rows: int
    row: NDArray[np.int32]
    turn: NDArray[np.int32]
    role: NDArray[np.int8]
    is_rejected: NDArray[np.bool_]
    is_learnt: NDArray[np.bool_]
    which: NDArray[np.int32]
    distinct: Any

    @cached_property
    def is_answer(self) -> NDArray[np.bool_]:
        """Whether a turn is something the model is to say."""
        return np.isin(self.role, (ASSISTANT, TEXT))

    @cached_property
    def texts(self) -> list[str]:
        """The distinct texts as Python's."""
        listed: list[str] = self.distinct.to_pylist()
        return listed

    @cached_property
    def characters(self) -> NDArray[np.int64]:
        """The length of each turn."""
        lengths: NDArray[np.int64] = pc.utf8_length(self.distinct).to_numpy(zero_copy_only=False).astype(np.int64)
        return lengths[self.which]

    @cached_property
    def last_answer(self) -> NDArray[np.int64]:
        """Of each row the place of its last answer, the better one of a comparison; -1 for none."""
        places = np.full(self.rows, -1, np.int64)
        answers = np.flatnonzero(self.is_answer & ~self.is_rejected)
        places[self.row[answers]] = answers
        return places

    @cached_property
    def _places(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        order = np.argsort(self.which, kind="stable")
        return order, np.searchsorted(self.which[order], np.arange(len(self.distinct) + 1))

    def suspects(self, pattern: str) -> NDArray[np.int64]:
        """Return which distinct texts hold a pattern of RE2's dialect."""
        return np.flatnonzero(pc.match_substring_regex(self.distinct, pattern).to_numpy(zero_copy_only=False))

    def not_ascii(self) -> NDArray[np.int64]:
        """Return which distinct texts hold special characters."""
        return np.flatnonzero(~pc.string_is_ascii(self.distinct).to_numpy(zero_copy_only=False))

    def where(self, text: int) -> NDArray[np.int64]:
        """Return the places of the turns that say a distinct text."""
        order, bounds = self._places
        return order[bounds[text] : bounds[text + 1]]

    def rows_that_say(self, texts: Iterable[int], is_so: Callable[[str], bool]) -> NDArray[np.int32]:
        """Return the rows, some of them twice, with a text of which something is so."""
        found = [self.row[self.where(one)] for one in texts if is_so(self.texts[one])]
        return np.concatenate(found) if found else np.empty(0, np.int32)

    def by_row(self, *, wanted: NDArray[np.bool_]) -> Iterator[list[str]]:
        """Yield the wanted texts of each row."""
        places = np.flatnonzero(wanted)
        places = places[np.argsort(self.row[places], kind="stable")]
        bounds = np.searchsorted(self.row[places], np.arange(self.rows + 1))
        said = self.which[places].tolist()
        for low, high in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
            yield [self.texts[one] for one in said[low:high]]

    def summed(self, figures: NDArray[np.int64], *, wanted: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Return for each row the sum of its wanted turns' figures."""
        return np.bincount(self.row[wanted], figures[wanted], self.rows).astype(np.int64)


def spoken(batch: Any) -> Spoken:
    """Return what is said in a batch of a dataset's file."""
    parts = [_flat(batch.column("messages"))]
    lengths = np.bincount(parts[0][0], minlength=batch.num_rows)
    if "rejected" in batch.schema.names and batch.column("rejected").null_count < batch.num_rows:
        row, turn, *rest = _flat(batch.column("rejected"))
        parts.append((row, turn + lengths[row].astype(np.int32), *rest))
    row, turn, role, weight = (np.concatenate([part[place] for part in parts]) for place in range(4))
    text = pa.concat_arrays([part[4] for part in parts])
    coded = text.dictionary_encode()
    is_rejected = np.arange(len(row)) >= len(parts[0][0])
    is_learnt = np.isin(role, (ASSISTANT, TEXT)) & (weight != 0)
    return Spoken(batch.num_rows, row, turn, role, is_rejected, is_learnt, coded.indices.to_numpy(), coded.dictionary)


def _flat(turns: Any) -> tuple[Any, ...]:
    """Return row, turn, role, weight and text of a column of messages, turn by turn."""
    counts = pc.list_value_length(turns).fill_null(0).to_numpy(zero_copy_only=False)
    row = np.repeat(np.arange(len(turns), dtype=np.int32), counts)
    starts = np.cumsum(counts) - counts
    turn = np.arange(len(row), dtype=np.int32) - starts[row].astype(np.int32)
    flat = turns.flatten()
    role = pc.index_in(flat.field("role"), pa.array(ROLES)).to_numpy(zero_copy_only=False).astype(np.int8)
    weighted = "weight" in [field.name for field in flat.type]
    weight = flat.field("weight").fill_null(1).to_numpy(zero_copy_only=False) if weighted else np.ones(len(row), np.int8)
    return row, turn, role, weight, pc.fill_null(flat.field("content"), "")


def batches_of(path: Path, columns: Sequence[str]) -> Iterator[Any]:
    """Yield the rows of a dataset's file in batches that fit memory, with those of the columns that it has."""
    with pq.ParquetFile(path) as file:
        there = [column for column in columns if column in file.schema_arrow.names]
        for group in range(file.metadata.num_row_groups):
            # A group at a time, since they were bounded in bytes when they were written.
            yield from file.read_row_group(group, columns=there).combine_chunks().to_batches(ROW_GROUP_ROWS)
