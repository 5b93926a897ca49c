from __future__ import annotations

from typing import Any

from app.domain.mapping import MAX_COLUMNS
from workers.curation.columns import SAMPLE_ROWS, Columns


def columns_of(*rows: dict[str, Any]) -> Columns:
    columns = Columns()
    for row in rows:
        columns.note(row)
    return columns


def test_names_are_collected_over_rows_and_bounded() -> None:
    columns = columns_of({"a": 1}, {"b": {"c": 1}}, {f"n{number}": 1 for number in range(1_000)})
    assert columns.names[:2] == ["a", "b.c"]
    assert len(columns.names) == MAX_COLUMNS


def test_the_sample_is_a_few_rows_as_people_would_write_them() -> None:
    columns = columns_of(*({"a": number, "b": "x" * 1_000} for number in range(50)))
    assert len(columns.sample) == SAMPLE_ROWS
    assert columns.sample[3] == {"a": "3", "b": "x" * 300}
