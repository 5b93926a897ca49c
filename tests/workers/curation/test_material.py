"""Real files of other people, as they published them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.workers.curation.conftest import Importer

pytestmark = pytest.mark.material


@pytest.mark.parametrize(("part", "rows"), [("Training", 6_480), ("Validation", 810), ("Testing", 810)])
def test_bitext_is_asked_about_and_then_read_whole(material: Path, imported: Importer, part: str, rows: int) -> None:
    file = material / "classification" / f"Bitext_Sample_Customer_Service_{part}_Dataset.csv"
    asked = imported(file, file.name).report
    assert (asked.status, asked.format, asked.delimiter) == ("needs_mapping", "table", ",")
    assert asked.suggested is not None
    assert (asked.suggested.user, asked.suggested.assistant) == ("utterance", "intent")
    found = imported(file, file.name, mapping={"user": "utterance", "assistant": "intent"}, system="Name the intent.").report
    assert (found.status, found.rows, found.problem_count) == ("ready", rows, 0)


def test_clinc150_is_read_through_its_splits(material: Path, imported: Importer) -> None:
    file = material / "classification" / "clinc150_data_full.json"
    assert imported(file, file.name).report.status == "needs_mapping"
    found = imported(file, file.name, mapping={"user": "column 1", "assistant": "column 2"}).report
    splits = json.loads(file.read_bytes())
    assert (found.rows, found.problem_count) == (sum(len(rows) for rows in splits.values()), 0)


def test_sms_spam_is_read_although_it_is_not_utf_8(material: Path, imported: Importer) -> None:
    file = material / "classification" / "sms_spam_latin1.csv"
    asked = imported(file, file.name).report
    assert (asked.status, asked.encoding, asked.columns) == ("needs_mapping", "cp1252", ["v1", "v2", "column 3", "column 4", "column 5"])
    found = imported(file, file.name, mapping={"user": "v2", "assistant": "v1"})
    assert (found.report.rows, found.report.problem_count) == (5_572, 0)
    assert any("£1.50" in row["messages"][0]["content"] for row in found.rows)


@pytest.mark.parametrize(
    ("path", "shape", "rows", "problems"),
    [
        ("instruct/rasbt_instruction-data.json", "alpaca", 1_100, 0),
        ("instruct/identity.json", "alpaca", 91, 0),
        ("conversation/fastchat_dummy_conversation.json", "sharegpt", 500, 0),
        ("conversation/glaive_toolcall_en_demo.json", "sharegpt", 147, 153),
        ("conversation/toy_chat_fine_tuning.jsonl", "chat", 4, 1),
        ("conversation/v1_sft_demo.jsonl", "chat", 500, 0),
        ("preference/kto_en_demo.json", "chat", 150, 150),
    ],
)
def test_known_shapes_are_recognised(material: Path, imported: Importer, path: str, shape: str, rows: int, problems: int) -> None:
    report = imported(material / path, Path(path).name).report
    assert (report.status, report.format, report.rows, report.problem_count) == ("ready", shape, rows, problems)
    assert report.train_rows + report.test_rows == rows


def test_content_parts_are_joined_to_text(material: Path, imported: Importer) -> None:
    found = imported(material / "conversation" / "v1_sft_demo.jsonl")
    assert found.spoken[0] == [
        ("user", "hi"),
        ("assistant", "Hello! I am {{name}}, an AI assistant developed by {{author}}. How can I assist you today?"),
    ]


def test_nested_instances_can_be_mapped(material: Path, imported: Importer) -> None:
    file = material / "instruct" / "user_oriented_instructions.jsonl"
    asked = imported(file, file.name).report
    assert asked.status == "needs_mapping"
    assert asked.suggested is not None
    assert asked.suggested.assistant == "instances.0.output"
    found = imported(file, file.name, mapping=asked.suggested.model_dump(exclude_none=True)).report
    assert (found.status, found.rows + found.problem_count) == ("ready", 252)


def test_preference_rows_say_that_they_cannot_be_used_yet(material: Path, imported: Importer) -> None:
    found = imported(material / "preference" / "dpo_en_demo.json")
    assert (found.report.status, found.report.problem_count) == ("failed", 300)
    assert "preference" in found.reason


def test_naughty_strings_come_back_unchanged(material: Path, imported: Importer) -> None:
    naughty = [text for text in json.loads((material / "dirty" / "blns.json").read_bytes()) if text.strip()]
    lines = [json.dumps({"prompt": text, "completion": text}, ensure_ascii=bool(place % 2)) for place, text in enumerate(naughty)]
    found = imported("\n".join(lines).encode())
    assert found.report.problem_count == 0
    assert [spoken[0][1] for spoken in found.spoken] == naughty
    assert [spoken[1][1] for spoken in found.spoken] == naughty


def test_no_file_of_the_json_test_suite_breaks_an_import(material: Path, imported: Importer) -> None:
    for file in sorted((material / "dirty" / "JSONTestSuite").glob("*.json")):
        report = imported(file, file.name).report
        assert report.status in {"failed", "needs_mapping"}, file.name
        if file.name.startswith("n_"):
            assert report.status == "failed" or report.problem_count, file.name


@pytest.mark.parametrize("path", ["text/simple_stories_cc-by.txt", "text/childrens_classics_pd.txt.gz", "dirty/blns.txt"])
def test_what_holds_no_rows_is_failed_with_a_reason(material: Path, imported: Importer, path: str) -> None:
    found = imported(material / path, Path(path).name)
    assert (found.report.status, found.files) == ("failed", [])
    assert found.reason.startswith(Path(path).name)
