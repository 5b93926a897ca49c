"""What the rows of a batch pass to tools, for whoever looks for personal data: in arguments people stand as often as in what is said."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow.compute as pc

from app.domain.calls import Passed, passed
from app.domain.masking import Span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

WORD_ENDS = re.compile(r"[\W_]+|(?<=[a-z])(?=[A-Z])")


class Called(NamedTuple):
    """A value that a row passes on; its turn counts on behind all that the row says."""

    row: int
    turn: int
    value: Passed


def called_in(batch: Any) -> Iterator[Called]:
    """Yield what the calls of a batch of a dataset's file pass on, in the order of `passed_in`."""
    turns = np.zeros(batch.num_rows, np.int64)
    made: dict[int, list[str]] = {}
    for name in ("messages", "rejected"):
        if name not in batch.schema.names:
            continue
        column = batch.column(name)
        counts = pc.list_value_length(column).fill_null(0).to_numpy(zero_copy_only=False)
        turns += counts
        for row, calls in _calls(column.flatten(), np.repeat(np.arange(batch.num_rows), counts)):
            made.setdefault(row, []).append(calls)
    for row in sorted(made):
        values = passed(call for calls in made[row] for call in json.loads(calls))
        yield from (Called(row, turn, value) for turn, value in enumerate(values, int(turns[row])))


def _calls(messages: Any, rows: Any) -> Iterator[tuple[int, str]]:
    """Yield the row and the calls, as JSON, of each message that has some."""
    if "tool_calls" not in [field.name for field in messages.type]:
        return
    calls = messages.field("tool_calls")
    yield from zip(rows[calls.is_valid().to_numpy(zero_copy_only=False)].tolist(), calls.drop_null().to_pylist(), strict=True)


def find_passed(search: Callable[[str], Sequence[tuple[int, int, str]]], value: Passed) -> list[Span]:
    """Return what a search finds in a value: its name is put before it, since a number says nothing and `birth_date: 1990-04-12` does."""
    head = f"{' '.join(WORD_ENDS.split(value.name)).strip()}: ".removeprefix(": ")
    found = search(head + value.text) if value.text.strip() else ()
    return [Span(max(0, start - len(head)), end - len(head), kind) for start, end, kind in found if end > len(head)]
