"""Comparing: which is best, when nothing is, and a table that no spreadsheet calculates with."""

from __future__ import annotations

import csv
import io

import pytest

from app.domain.comparison import MEASURES, check_count, csv_of, parse_ids, score
from app.domain.errors import Invalid

BY_NAME = {measure.name: measure for measure in MEASURES}


@pytest.mark.parametrize(
    ("name", "values", "best"),
    [
        ("eval/loss", [0.9, 0.7, 0.8], {1}),
        ("eval/exact_match", [0.9, 0.7, 0.9], {0, 2}),
        ("eval/exact_match", [0.9, None, 0.2], {0}),
        ("eval/loss", [0.7, 0.7], set()),
        ("eval/loss", [0.7, None], set()),
        ("train/loss", [0.1, 0.7], set()),
        ("memory/peak_bytes", [2e9, 1e9], {1}),
    ],
)
def test_the_best_is_marked_where_there_is_one(name: str, values: list[float | None], best: set[int]) -> None:
    assert score(BY_NAME[name], values, comparable=True).best == best


def test_what_is_not_comparable_has_no_best() -> None:
    assert score(BY_NAME["eval/loss"], [0.1, 0.9], comparable=False).best == frozenset()


def test_runs_are_named_by_commas_or_again_and_each_once() -> None:
    assert parse_ids(["a,b", "c", " b ", "", ",d,"]) == ["a", "b", "c", "d"]


@pytest.mark.parametrize("count", [0, 1, 7, 50])
def test_two_to_six_can_be_compared(count: int) -> None:
    with pytest.raises(Invalid) as refused:
        check_count([str(n) for n in range(count)])
    assert (refused.value.param, refused.value.code) == ("ids", "number_of_runs")


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx"])
def test_no_cell_of_the_table_is_a_formula(cell: str) -> None:
    [[first, number]] = csv.reader(io.StringIO(csv_of([[cell, -1.5]])))
    assert first == f"'{cell}"
    assert number == "-1.5"
