from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.spreadsheets import FORMULA_STARTS, csv_line, csv_meant, csv_safe


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\r=1", "=cmd|' /C calc'!A0"])
def test_a_cell_that_begins_as_a_formula_does_gets_an_apostrophe(cell: str) -> None:
    assert csv_safe(cell) == "'" + cell
    assert csv_meant(csv_safe(cell)) == cell


@pytest.mark.parametrize("cell", ["", "a=b", "'x", "3-1", "Größe", "1,2"])
def test_other_cells_stay_as_they_are(cell: str) -> None:
    assert csv_safe(cell) == csv_meant(cell) == cell


def test_an_apostrophe_before_a_formula_stays_and_is_not_told_from_one_that_was_put_there() -> None:
    assert (csv_safe("'=x"), csv_meant("'=x")) == ("'=x", "=x")


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=2))
def test_what_is_written_is_one_row_whose_cells_come_back_and_run_nothing_where_it_is_split_at_commas(cells: list[str]) -> None:
    line = csv_line(cells)
    assert line.endswith("\r\n")
    (row,) = csv.reader(io.StringIO(line, newline=""))
    assert [cell.removeprefix("'") if cell != given else cell for cell, given in zip(row, cells, strict=True)] == cells
    assert not any(cell.startswith(FORMULA_STARTS) for cell in row)
