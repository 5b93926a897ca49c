"""What is in rows of real files of other people: splits, tools, judgements, encodings and strings that come back unchanged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

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


def test_bitexts_three_files_dropped_together_are_a_training_and_a_test_side(material: Path, imported: Importer) -> None:
    files: dict[str, Any] = {file.name: file for file in sorted((material / "classification").glob("Bitext_*.csv"))}
    assert imported(files).report.status == "needs_mapping"
    report = imported(files, mapping={"user": "utterance", "assistant": "intent"}).report
    assert (report.rows, report.train_rows, report.test_rows) == (8_100, 6_480 + 810, 810)
    assert "810 validation rows are learnt from, since there are test rows to hold out." in report.notes
    assert "Bitext_Sample_Customer_Service_Testing_Dataset.csv: 810 rows were read." in report.notes


def test_clinc150_keeps_its_splits_and_two_texts_of_its_test_stand_in_its_training(material: Path, imported: Importer) -> None:
    file = material / "classification" / "clinc150_data_full.json"
    found = imported(file, file.name, mapping={"user": "column 1", "assistant": "column 2"})
    splits = json.loads(file.read_bytes())
    assert (found.report.rows, found.report.problem_count) == (sum(len(rows) for rows in splits.values()), 0)
    assert (found.report.train_rows, found.report.test_rows) == (15_100 + 3_100, 5_500)
    texts = {side: {row["messages"][0]["content"] for row in found.rows if row["split"] == side} for side in ("train", "test")}
    assert texts["train"] & texts["test"] == {"where did you grow up", "what's your designation"}


def test_sms_spam_is_read_although_it_is_not_utf_8(material: Path, imported: Importer) -> None:
    file = material / "classification" / "sms_spam_latin1.csv"
    asked = imported(file, file.name).report
    assert (asked.status, asked.encoding, asked.columns) == ("needs_mapping", "cp1252", ["v1", "v2", "column 3", "column 4", "column 5"])
    found = imported(file, file.name, mapping={"user": "v2", "assistant": "v1"})
    assert (found.report.rows, found.report.problem_count) == (5_572, 0)
    assert any("£1.50" in row["messages"][0]["content"] for row in found.rows)
    assert len({row["hash"] for row in found.rows}) == 5_572 - 403


def test_rows_of_sms_spam_that_spill_over_are_told_with_their_lines(material: Path, imported: Importer) -> None:
    file = material / "classification" / "sms_spam_latin1.csv"
    (note,) = imported(file, file.name, mapping={"user": "v2", "assistant": "v1"}).report.notes
    assert note.startswith("50 rows spill over into columns that have no name (lines 97, 283, 446,")
    assert "6 of them as far as the last (lines 283, 1,040, 2,257, 3,527, 4,670, 5,050)" in note


def test_calls_of_tools_are_kept(material: Path, imported: Importer) -> None:
    found = imported(material / "conversation" / "glaive_toolcall_en_demo.json")
    calls = [turn["tool_calls"] for row in found.rows for turn in row["messages"] if turn["tool_calls"]]
    assert len(calls) > 150
    assert all(json.loads(call)[0]["type"] == "function" for call in calls)
    assert all(isinstance(json.loads(json.loads(call)[0]["function"]["arguments"]), dict) for call in calls)
    answers = [turn for row in found.rows for turn in row["messages"] if turn["role"] == "tool"]
    assert all(turn["tool_call_id"] for turn in answers)
    assert sum(row["tools"] is not None for row in found.rows) > 150


def test_comparisons_and_judgements_are_kept(material: Path, imported: Importer) -> None:
    compared = imported(material / "preference" / "dpo_en_demo.json").rows
    assert all(row["rejected"] and row["messages"][-1]["role"] == "assistant" for row in compared)
    judged = imported(material / "preference" / "kto_en_demo.json").rows
    assert [row["label"] for row in judged].count(False) == 150


def test_faults_of_the_toy_chat_are_told(material: Path, imported: Importer) -> None:
    found = imported(material / "conversation" / "toy_chat_fine_tuning.jsonl")
    assert [(row["line"], row["code"], row["reason"]) for row in found.aside] == [(4, "broken", "there is no user's turn to answer")]
    assert json.loads(found.aside[0]["text"])["messages"]


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


def test_naughty_strings_come_back_unchanged(material: Path, imported: Importer) -> None:
    naughty = [text for text in json.loads((material / "dirty" / "blns.json").read_bytes()) if text.strip()]
    lines = [json.dumps({"prompt": text, "completion": text}, ensure_ascii=bool(place % 2)) for place, text in enumerate(naughty)]
    found = imported("\n".join(lines).encode())
    assert found.report.problem_count == 0
    assert [spoken[0][1] for spoken in found.spoken] == naughty
    assert [spoken[1][1] for spoken in found.spoken] == naughty


def test_naughty_strings_of_a_list_come_back_unchanged_as_texts(material: Path, imported: Importer) -> None:
    file = material / "dirty" / "blns.json"
    naughty = [text for text in json.loads(file.read_bytes()) if text.strip()]
    assert [spoken[0] for spoken in imported(file, file.name).spoken] == [("text", text) for text in naughty]


def test_no_line_of_naughty_text_is_lost(material: Path, imported: Importer) -> None:
    file = material / "dirty" / "blns.txt"
    lines = [line for spoken in imported(file, file.name).spoken for line in spoken[0][1].split("\n") if line.strip()]
    assert lines == [line for line in file.read_bytes().decode().split("\n") if line.strip()]


def test_stories_keep_within_their_documents(material: Path, imported: Importer) -> None:
    file = material / "text" / "simple_stories_cc-by.txt"
    found = imported(file, file.name)
    texts = [spoken[0][1] for spoken in found.spoken]
    assert texts[0].startswith("A very tall man\n")
    assert not any("<|endoftext|>" in text for text in texts)
    assert max(map(len, texts)) <= 2_100
    words = file.read_text(encoding="utf-8").replace("<|endoftext|>", " ").split()
    assert [word for text in texts for word in text.split()] == words
