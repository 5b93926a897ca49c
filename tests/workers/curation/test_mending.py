from __future__ import annotations

import json

import pytest

from app.domain.datasets import Example, Mapping, Problem, Turn
from tests.workers.curation.conftest import Importer, chat_line
from workers.curation.mending import parse_row

HI = [Turn("user", "Hi?"), Turn("assistant", "Hello.")]
MAPPING = Mapping(user="q", assistant="a")


def said(found: Example | Problem) -> list[Turn]:
    assert isinstance(found, Example), found
    return list(found.turns)


@pytest.mark.parametrize(
    ("text", "mapping"),
    [
        (chat_line(), None),
        (json.dumps(json.loads(chat_line()), indent=2), None),
        ('{"prompt": "Hi?", "completion": "Hello."}', MAPPING),
        ('{"q": "Hi?", "a": "Hello."}', MAPPING),
    ],
)
def test_a_row_written_by_hand_is_read_as_a_files_rows_are(text: str, mapping: Mapping | None) -> None:
    assert said(parse_row(text, "rows.jsonl", mapping)) == HI


def test_a_system_text_goes_before_it() -> None:
    assert said(parse_row(chat_line(), "rows.jsonl", None, "Be brief."))[0] == Turn("system", "Be brief.")


@pytest.mark.parametrize(("text", "filename"), [("Hi?,Hello.", "a.csv"), ('"Hi?","Hello."\n', "a.csv"), ("Hi?\tHello.", "a.tsv")])
def test_a_line_of_a_table_is_read_under_its_columns(text: str, filename: str) -> None:
    assert said(parse_row(text, filename, MAPPING, columns=["q", "a"])) == HI


@pytest.mark.parametrize(
    ("text", "why", "code"),
    [
        ('{"messages": [\n}', "not valid JSON: a value is missing (line 2, column 1)", "broken"),
        (chat_line(answer=""), "the assistant's answer is empty", "empty_answer"),
        ('{"x": 1}', "it fits no known shape; its keys are: x", "broken"),
        ("", "not valid JSON: a value is missing (line 1, column 1)", "broken"),
        ('{"a": NaN}', "NaN is no JSON value", "broken"),
        ('"\ud800"', "byte 0xED is not UTF-8", "broken"),
    ],
)
def test_what_is_still_wrong_is_told(text: str, why: str, code: str) -> None:
    found = parse_row(text)
    assert isinstance(found, Problem)
    assert (why in found.reason, found.code) == (True, code)


@pytest.mark.parametrize(
    ("text", "why"),
    [("a,b,c", "3 columns where the header has 2"), ("a,b\nc,d", "2 rows where one was expected"), ("", "no row of a table")],
)
def test_a_line_that_does_not_fit_its_columns_says_why(text: str, why: str) -> None:
    found = parse_row(text, "a.csv", MAPPING, columns=["q", "a"])
    assert isinstance(found, Problem)
    assert found.reason == why


def test_a_row_kept_aside_can_be_mended_as_it_stands(imported: Importer) -> None:
    found = imported("q,a\nHi?,\nx,y\n", "a.csv", mapping={"user": "q", "assistant": "a"})
    mended = json.loads(found.aside[0]["text"]) | {"a": "Hello."}
    assert said(parse_row(json.dumps(mended), "a.csv", MAPPING)) == HI
