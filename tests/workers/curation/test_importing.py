from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from app.domain.datasets import MAX_PROBLEMS_LISTED
from tests.workers.curation.conftest import Importer, chat_line


def table(*rows: tuple[str, ...], delimiter: str = ",") -> str:
    buffer = io.StringIO(newline="")
    csv.writer(buffer, delimiter=delimiter).writerows(rows)
    return buffer.getvalue()


TICKETS = table(("utterance", "intent"), ("cancel it", "cancel"), ("where is it?", "track"), ("no answer", ""))


def test_a_file_of_conversations_becomes_rows(imported: Importer) -> None:
    found = imported("".join(chat_line(f"Question {number}") for number in range(30)))
    report = found.report
    assert (report.status, report.format, report.rows, report.columns) == ("ready", "chat", 30, ["messages"])
    assert report.train_rows + report.test_rows == 30
    assert report.train_rows > 0 < report.test_rows
    assert [row["line"] for row in found.rows] == list(range(1, 31))
    assert found.files == ["rows.parquet"]
    assert found.reason == ""


def test_broken_json_on_line_3001_costs_that_row_only(imported: Importer) -> None:
    lines = [chat_line(f"Question {number}") for number in range(4_000)]
    lines[3_000] = lines[3_000][:-9] + "\n"
    found = imported("".join(lines))
    assert (found.report.status, found.report.rows, found.report.problem_count) == ("ready", 3_999, 1)
    assert found.problems[0][0] == 3_001
    assert found.problems[0][1].startswith("not valid JSON: ")


def test_all_problems_are_counted_and_the_first_hundred_listed(imported: Importer) -> None:
    found = imported("{]\n" * 150 + chat_line())
    assert found.report.problem_count == 150
    assert [line for line, _ in found.problems] == list(range(1, MAX_PROBLEMS_LISTED + 1))


def test_a_file_without_a_usable_row_fails_with_the_first_reason(imported: Importer) -> None:
    found = imported(chat_line(answer="") * 3)
    assert (found.report.status, found.report.rows, found.report.sha256, found.files) == ("failed", 0, None, [])
    assert found.reason == "None of the 3 rows can be used; the first, on line 1: the assistant's answer is empty."


@pytest.mark.parametrize("content", ["[]", "\n\n  \n{}", '{"data": []}'])
def test_a_file_without_rows_fails(imported: Importer, content: str) -> None:
    assert imported(content).report.status in {"failed", "needs_mapping"}
    assert imported(content).files == []


def test_mixed_shapes_are_read_each_by_its_own(imported: Importer) -> None:
    alpaca, other = json.dumps({"instruction": "Hi?", "output": "Hello."}), json.dumps({"text": "what", "is": "this"})
    found = imported(f"{chat_line()}{alpaca}\n{alpaca}\n{other}\n")
    assert (found.report.format, found.report.rows) == ("alpaca", 3)
    assert found.problems == [(4, "it fits no known shape; its keys are: text, is")]


def test_a_table_of_no_known_shape_waits_for_its_mapping(imported: Importer) -> None:
    found = imported(TICKETS, "tickets.csv")
    report = found.report
    assert (report.status, report.format, report.columns, report.delimiter) == ("needs_mapping", "table", ["utterance", "intent"], ",")
    assert report.sample[0] == {"utterance": "cancel it", "intent": "cancel"}
    assert report.suggested is not None
    assert (report.suggested.user, report.suggested.assistant) == ("utterance", "intent")
    assert found.files == []


def test_a_mapping_makes_conversations_of_a_table(imported: Importer) -> None:
    found = imported(TICKETS, "tickets.csv", mapping={"user": "utterance", "assistant": "intent"}, system="Name the intent.")
    assert (found.report.status, found.report.format, found.report.rows) == ("ready", "table", 2)
    assert found.spoken[0] == [("system", "Name the intent."), ("user", "cancel it"), ("assistant", "cancel")]
    assert found.problems == [(4, "the assistant's answer is empty")]


@pytest.mark.parametrize(("content", "name"), [(TICKETS, "a.csv"), ('{"utterance": "a", "intent": "b"}\n' * 2, "a.jsonl")])
def test_a_column_that_does_not_exist_is_named_beside_those_that_do(imported: Importer, content: str, name: str) -> None:
    found = imported(content, name, mapping={"user": "utterance", "assistant": "label"})
    assert (found.report.status, found.files) == ("failed", [])
    assert found.reason == "There is no column 'label'; there are: utterance, intent."
    assert found.report.columns == ["utterance", "intent"]


def test_a_csv_without_an_answer_column_is_not_failed(imported: Importer) -> None:
    found = imported("question\nWhat is it?\nWho, then?\n", "a.csv")
    assert (found.report.status, found.report.columns, found.report.suggested) == ("needs_mapping", ["question"], None)


def test_flat_json_waits_for_its_mapping_and_takes_it(imported: Importer) -> None:
    rows = [{"review": "Good", "stars": 5, "shop": {"city": "Ulm"}}, {"review": "Bad", "stars": 1, "shop": {"city": "Rom"}}]
    asked = imported(json.dumps(rows), "a.json").report
    assert (asked.status, asked.columns) == ("needs_mapping", ["review", "stars", "shop.city"])
    found = imported(json.dumps(rows), "a.json", mapping={"user": "review", "assistant": "stars", "system": "shop.city"})
    assert found.spoken[1] == [("system", "Rom"), ("user", "Bad"), ("assistant", "1")]


@pytest.mark.parametrize(
    ("header", "shape"), [(("Instruction", "Output"), "alpaca"), (("id", "prompt", "completion"), "prompt_completion")]
)
def test_a_header_may_show_the_shape(imported: Importer, header: tuple[str, ...], shape: str) -> None:
    report = imported(table(header, *[tuple(f"{name} {n}" for name in header) for n in range(5)], delimiter=";"), "a.csv").report
    assert (report.status, report.format, report.rows, report.delimiter) == ("ready", shape, 5, ";")


def test_a_tables_first_row_may_show_the_shape(imported: Importer) -> None:
    messages = json.dumps(json.loads(chat_line())["messages"])
    found = imported(table(("id", "messages"), ("1", messages), ("2", messages)), "a.csv")
    assert (found.report.format, found.report.rows) == ("chat", 2)
    assert imported(table(("messages", "mood"), ("hello", "x"), ("you", "y")), "a.csv").report.status == "needs_mapping"


def test_a_table_without_a_header_keeps_its_first_row(imported: Importer) -> None:
    rows = [("ham", "see you"), ("spam", "win big"), ("ham", "at nine"), ("ham", "later"), ("spam", "free now")]
    asked = imported(table(*rows), "a.csv").report
    assert asked.columns == ["column 1", "column 2"]
    assert asked.suggested is not None
    assert (asked.suggested.user, asked.suggested.assistant) == ("column 2", "column 1")
    assert asked.confidence == {"column 2": 0.6, "column 1": 0.6}
    found = imported(table(*rows), "a.csv", mapping={"user": "column 2", "assistant": "column 1"})
    assert [row["line"] for row in found.rows] == [1, 2, 3, 4, 5]


def test_quotes_in_cells_may_be_escaped_by_backslashes(imported: Importer) -> None:
    found = imported('"prompt","completion"\n"say \\"hi, you\\"","a\\\\b"\n"or \\"so\\"","C:\\new"\n', "a.csv")
    assert found.spoken[0] == [("user", 'say "hi, you"'), ("assistant", "a\\b")]
    assert found.spoken[1][1] == ("assistant", "C:\\new")


def test_a_wrong_encoding_is_found_and_read(imported: Importer) -> None:
    found = imported(chat_line("Wie heißt du?", "Öhm, so fünf €?").encode("cp1252") * 2)
    assert (found.report.status, found.report.encoding) == ("ready", "cp1252")
    assert found.spoken[0][1] == ("assistant", "Öhm, so fünf €?")


def test_a_picture_by_another_name_is_failed_and_says_so(imported: Importer) -> None:
    found = imported(b"\x89PNG\r\n\x1a\n\0\0\0", "rows.jsonl")
    assert found.report.status == "failed"
    assert "PNG picture" in found.reason


def test_text_that_breaks_off_inside_its_encoding_says_so(imported: Importer) -> None:
    found = imported((chat_line() * 3).encode("utf-16") + b"\x00", "rows.jsonl")
    assert found.report.status == "failed"
    assert "utf-16" in found.reason


def test_reasons_and_names_can_be_stored_anywhere(imported: Importer) -> None:
    keys = '{"\\ud800": 1}\n{"a\\u0000b": 1}\n{"' + "k" * 5_000 + '": 1}\n'
    found = imported(keys + chat_line())
    told = found.report.model_dump_json()
    assert "\\u0000" not in told
    assert found.report.problem_count == 3
    assert max(len(reason) for _, reason in found.problems) <= 300


def test_an_answer_of_weight_zero_is_kept_and_marked(imported: Importer) -> None:
    turns: list[dict[str, Any]] = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "weight": 0}]
    more = [{"role": "user", "content": "c"}, {"role": "assistant", "content": "d", "weight": 1}]
    found = imported(json.dumps({"messages": turns + more}) + "\n")
    assert [turn["weight"] for turn in found.rows[0]["messages"]] == [None, 0, None, None]


def test_the_same_upload_gives_the_same_file(imported: Importer) -> None:
    content = "".join(chat_line(str(number)) for number in range(50))
    assert imported(content).report.sha256 == imported(content).report.sha256


@pytest.mark.parametrize(
    ("header", "question"),
    [(("prompt", "Completion", "Prompt"), "1"), (("Prompt", "Completion", "prompt"), "3"), (("Prompt", "completion", "PROMPT"), "1")],
)
def test_of_columns_that_differ_in_case_alone_the_exact_one_counts_else_the_first(
    imported: Importer, header: tuple[str, ...], question: str
) -> None:
    assert imported(table(header, ("1", "2", "3")), "a.csv").spoken == [[("user", question), ("assistant", "2")]]
