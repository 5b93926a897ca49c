from __future__ import annotations

import json
from typing import Any

import pytest

from tests.workers.curation.conftest import Imported, Importer, chat_line
from workers.curation.splits import Side, by_names, side_in, side_of


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("train", "train"), ("oos_train", "train"), ("Training_Dataset.csv", "train"), ("data/train-00000-of-00001.parquet", "train"),
        ("val", "validation"), ("Validation", "validation"), ("dev.jsonl", "validation"), ("test", "test"), ("my-eval.json", "test"),
        ("held_out", None), ("heldout", "test"), ("contest.csv", None), ("train_test.csv", None), ("rows", None), ("", None), (None, None),
    ],
)  # fmt: skip
def test_a_name_may_say_which_side_it_is_of(name: str | None, side: str | None) -> None:
    assert side_of(name) == side


def test_a_column_may_say_which_side_a_row_is_of() -> None:
    assert side_in({"split": "Test"}) is Side.TEST
    assert side_in({"split": "banana"}) is None
    assert side_in({"split": ["test"]}) is None
    assert side_in({}) is None


def test_names_tell_sides_only_when_they_differ() -> None:
    assert by_names(["train.csv", "test.csv", "more.csv"]) == {"train.csv": "train", "test.csv": "test"}
    assert by_names(["train_1.csv", "train_2.csv"]) == {}
    assert by_names(["test.csv"]) == {}


def rows(count: int, **more: Any) -> str:
    return "".join(chat_line(f"{more} {number}", **more) for number in range(count))


def sides(found: Imported) -> tuple[int, int]:
    return found.report.train_rows, found.report.test_rows


def test_a_column_puts_rows_on_their_side(imported: Importer) -> None:
    assert sides(imported(rows(20, split="train") + rows(3, split="test"))) == (20, 3)


def test_lists_in_one_document_are_sides(imported: Importer) -> None:
    content = {side: [json.loads(line) for line in rows(count, side=side).splitlines()] for side, count in (("train", 20), ("test", 3))}
    assert sides(imported(json.dumps(content), "a.json")) == (20, 3)


def test_validation_rows_are_held_out_where_nothing_else_is(imported: Importer) -> None:
    found = imported({"train.jsonl": rows(20), "valid.jsonl": rows(3, n=1)})
    assert sides(found) == (20, 3)
    assert "3 validation rows are held out." in found.report.notes


def test_validation_rows_are_learnt_from_where_there_are_test_rows(imported: Importer) -> None:
    found = imported({"train.jsonl": rows(20), "valid.jsonl": rows(3, n=1), "test.jsonl": rows(4, n=2)})
    assert sides(found) == (23, 4)
    assert {row["file"] for row in found.rows if row["split"] == "test"} == {2}
    assert "3 validation rows are learnt from, since there are test rows to hold out." in found.report.notes


@pytest.mark.parametrize("split", ["train", "test", "validation"])
def test_a_file_that_puts_all_rows_on_one_side_has_split_nothing(imported: Importer, split: str) -> None:
    found = imported(rows(60, split=split))
    assert found.report.train_rows > found.report.test_rows > 0
    assert found.report.notes == []


def test_a_lone_file_is_not_held_out_because_of_its_name(imported: Importer) -> None:
    train, test = sides(imported(rows(60), "test.jsonl"))
    assert train > test > 0
