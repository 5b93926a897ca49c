from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.domain.datasets import Message
from app.domain.errors import Invalid
from tests.workers.curation.conftest import Importer, chat_line
from workers.curation.read import read_conversations

HELLO = [Message(role="user", content="Hi?"), Message(role="assistant", content="Hello.")]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", "{]\n" + chat_line()),
        ("a.json", "[\n" + json.dumps({"instruction": "Hi?", "input": "", "output": "Hello."}) + "]"),
        ("a.csv", "prompt,completion\nHi?,Hello.\n"),
    ],
)
def test_any_form_gives_lines_and_messages(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    assert list(read_conversations(tmp_path / name)) == [(2, HELLO)]


def test_hones_own_parquet_gives_the_same(tmp_path: Path, imported: Importer) -> None:
    imported("\n" + chat_line())
    assert list(read_conversations(tmp_path / "out" / "rows.parquet")) == [(2, HELLO)]


@pytest.mark.parametrize(
    ("content", "why"),
    [("{]\n{]\n", "on line 1: not valid JSON"), ("question,answer\nHi?,Hello.\n", "its keys are: question, answer"), ("[]", "it is empty")],
)
def test_a_file_without_a_usable_row_is_refused(tmp_path: Path, content: str, why: str) -> None:
    (tmp_path / "a.txt").write_text(content)
    with pytest.raises(Invalid, match=why):
        list(read_conversations(tmp_path / "a.txt"))


def test_a_parquet_of_others_is_read_too(tmp_path: Path) -> None:
    pq.write_table(pa.table({"prompt": ["Hi?"], "completion": ["Hello."]}), tmp_path / "a.parquet")
    assert list(read_conversations(tmp_path / "a.parquet")) == [(2, HELLO)]


def test_calls_of_tools_come_with_their_messages(tmp_path: Path) -> None:
    call = {"id": "a", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    messages = [{"role": "user", "content": "Hi?"}, {"role": "assistant", "tool_calls": [call]}]
    (tmp_path / "a.jsonl").write_text(json.dumps({"messages": messages}))
    ((_, read),) = read_conversations(tmp_path / "a.jsonl")
    assert read[1] == Message(role="assistant", content="", tool_calls=[call])
