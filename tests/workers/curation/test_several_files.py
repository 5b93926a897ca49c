from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.domain.aside import MAX_ROWS_KEPT
from tests.workers.curation.conftest import Imported, Importer, chat_line
from workers.curation.rows import MAX_TEXT_BYTES, Aside, as_row

TICKETS = "utterance,intent\ncancel it,cancel\nwhere is it?,track\n"
ALPACA = json.dumps({"instruction": "Hi?", "output": "Hello."}) + "\n"


def test_files_are_read_one_after_the_other_each_by_its_own_form(imported: Importer) -> None:
    found = imported({"a.jsonl": chat_line() * 2, "b.json": f"[{ALPACA}]", "c.csv": "prompt,completion\nHi?,Hello.\n"})
    assert [(row["row"], row["file"], row["line"]) for row in found.rows] == [(0, 0, 1), (1, 0, 2), (2, 1, 1), (3, 2, 2)]
    assert found.report.notes == ["a.jsonl: 2 rows were read.", "b.json: 1 row was read.", "c.csv: 1 row was read."]


def test_a_file_nobody_understands_asks_although_others_are_understood(imported: Importer) -> None:
    files: dict[str, bytes | str | Path] = {"a.jsonl": chat_line() * 2, "b.csv": TICKETS}
    asked = imported(files)
    assert (asked.report.status, asked.report.rows, asked.files) == ("needs_mapping", 0, [])
    assert asked.report.suggested is not None
    found = imported(files, mapping={"user": "utterance", "assistant": "intent"})
    assert (found.report.status, found.report.rows) == ("ready", 4)


def test_a_column_that_no_file_has_is_named(imported: Importer) -> None:
    found = imported({"a.jsonl": chat_line(), "b.csv": TICKETS}, mapping={"user": "utterance", "assistant": "mood"})
    assert found.report.status == "failed"
    assert "There is no column 'mood'; there are: messages, utterance, intent." in found.reason


def test_a_text_joins_columns_in_a_table(imported: Importer) -> None:
    found = imported(TICKETS, "a.csv", mapping={"user": "Ticket: {utterance}", "assistant": "intent"})
    assert found.spoken[0][0] == ("user", "Ticket: cancel it")
    missing = imported(TICKETS, "a.csv", mapping={"user": "Ticket: {words}", "assistant": "intent"})
    assert missing.reason == "There is no column 'words'; there are: utterance, intent."


def test_problems_name_their_file_and_are_counted_by_code(imported: Importer) -> None:
    found = imported({"a.jsonl": chat_line() + "{]\n", "b.jsonl": chat_line(answer="") + chat_line()})
    assert [(each.file, each.line, each.code) for each in found.report.problems] == [(0, 2, "broken"), (1, 1, "empty_answer")]
    assert found.report.aside == {"broken": 1, "empty_answer": 1}


def test_rows_set_aside_are_kept_as_text_to_be_mended(imported: Importer) -> None:
    found = imported({"a.jsonl": chat_line() + '{"x": 1]\n' + chat_line(answer=""), "b.csv": "prompt,completion\nHi?,\na,b,c\n"})
    assert [(row["file"], row["line"], row["code"]) for row in found.aside] == [
        (0, 2, "broken"), (0, 3, "empty_answer"), (1, 2, "empty_answer"), (1, 3, "broken"),
    ]  # fmt: skip
    assert found.aside[0]["text"] == '{"x": 1]'
    assert json.loads(found.aside[1]["text"])["messages"][0]["content"] == "Hi?"
    assert json.loads(found.aside[2]["text"]) == {"prompt": "Hi?", "completion": ""}
    assert json.loads(found.aside[3]["text"]) == {"prompt": "a", "completion": "b", "column 3": "c"}


def test_what_is_kept_of_rows_set_aside_is_bounded(imported: Importer) -> None:
    found = imported(chat_line() + chat_line("x" * 200_000, answer="") + "{]\n" * (MAX_ROWS_KEPT + 50))
    assert len(found.aside) == MAX_ROWS_KEPT
    assert [row["number"] for row in found.aside] == list(range(1, MAX_ROWS_KEPT + 1))
    assert [row["is_cut"] for row in found.aside[:2]] == [True, False]
    assert max(len(row["text"].encode()) for row in found.aside) <= MAX_TEXT_BYTES
    assert found.report.problem_count == MAX_ROWS_KEPT + 51
    assert found.report.not_kept == {"broken": 51}


def test_of_long_rows_set_aside_fewer_are_kept_and_their_letters_are_not_escaped(
    imported: Importer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.curation.aside.MAX_BYTES_KEPT", 15_000)
    found = imported(chat_line() + f"{{]{chr(0x436) * 2_000}\n" * 10)
    assert len(found.aside) == 4
    assert (found.report.problem_count, found.report.not_kept) == (10, {"broken": 6})


@pytest.mark.parametrize(
    ("raw", "is_cut"),
    [
        ("x" * MAX_TEXT_BYTES, False),
        ("x" * MAX_TEXT_BYTES + "y", True),
        ("\u00e9" * (MAX_TEXT_BYTES // 2 + 1), True),
        (b"x" * MAX_TEXT_BYTES, False),
        (b"x" * MAX_TEXT_BYTES + b"y", True),
        (b"\xff" * (MAX_TEXT_BYTES - 1), True),
        ({"a": "x" * MAX_TEXT_BYTES}, True),
        (None, False),
    ],
)
def test_whether_a_text_is_but_the_beginning_of_a_row_is_known(raw: Any, *, is_cut: bool) -> None:
    text, found = Aside(1, "it is so", raw=raw).text()
    assert (len(text.encode()) <= MAX_TEXT_BYTES, found) == (True, is_cut)


def test_a_long_list_where_a_row_was_expected_is_known_to_be_cut() -> None:
    found = as_row(1, [[0] * MAX_TEXT_BYTES])
    assert isinstance(found, Aside)
    assert found.text()[1]


def test_nothing_is_kept_aside_while_columns_want_to_be_mapped(imported: Importer) -> None:
    assert imported(TICKETS, "a.csv").aside == []


def keep(found: Imported, folder: Path) -> Path:
    assert found.report.rows
    return (folder / "out" / "rows.parquet").rename(folder / "base.parquet")


def test_rows_of_an_earlier_version_stand_unchanged_before_the_new_ones(tmp_path: Path, imported: Importer) -> None:
    base = keep(imported("".join(chat_line(f"Old {number}") for number in range(30))), tmp_path)
    before = pq.read_table(base).to_pylist()
    found = imported("".join(chat_line(f"New {number}") for number in range(20)), base=base, first_file=3)
    assert found.rows[:30] == before
    assert [(row["row"], row["file"]) for row in found.rows[30:]] == [(30 + number, 3) for number in range(20)]
    assert (found.report.rows, found.report.train_rows + found.report.test_rows) == (50, 50)


def test_new_rows_keep_their_files_word_on_the_side_without_moving_older_ones(tmp_path: Path, imported: Importer) -> None:
    base = keep(imported("".join(chat_line(f"Old {number}") for number in range(30))), tmp_path)
    found = imported("".join(chat_line(f"New {number}", split="train") for number in range(20)), base=base)
    assert found.rows[:30] == pq.read_table(base).to_pylist()
    assert {row["split"] for row in found.rows[30:]} == {"train"}


def test_rows_from_before_there_were_tools_can_be_added_to(tmp_path: Path, imported: Importer) -> None:
    old = {
        "row": 0,
        "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
        "split": "train",
        "hash": "0",
        "line": 1,
    }
    pq.write_table(pa.Table.from_pylist([old, old | {"row": 1, "split": "test"}]), tmp_path / "base.parquet")
    found = imported(chat_line(), base=tmp_path / "base.parquet")
    assert [row["row"] for row in found.rows] == [0, 1, 2]
    assert found.rows[0]["messages"][0]["content"] == "a"


@pytest.mark.parametrize("content", ["{]\n", chat_line(answer="")])
def test_nothing_is_made_of_a_base_when_no_new_row_can_be_used(tmp_path: Path, imported: Importer, content: str) -> None:
    base = keep(imported(chat_line() * 3), tmp_path)
    found = imported(content, base=base)
    assert (found.report.status, found.files) == ("failed", [])


def test_a_key_that_stands_twice_is_told_with_its_line(imported: Importer) -> None:
    line = chat_line()[:-2] + ', "id": 1, "id": 2}\n'
    found = imported(chat_line() + line)
    assert found.report.rows == 2
    assert found.report.notes == ["In 1 row a key stands twice in one object, and the last one counts (line 2: 'id')."]
