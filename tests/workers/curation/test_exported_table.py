"""A dataset that is taken away as a table and brought back is the same dataset."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.domain.spreadsheets import FORMULA_STARTS
from tests.workers.curation.conftest import Importer
from tests.workers.curation.taken_away import learnt, taken_away

CALL = {"id": "call00001", "type": "function", "function": {"name": "f", "arguments": '{"a": "=1"}'}}
TOOLS = [{"type": "function", "function": {"name": "f", "description": "Ä"}}]
ODD = ["=1+1", "'=1", "'=a'", "-", "\ta", "a\r\nb", "a\rb", 'a "b", c', "{\n{\n{\n{", "a\u2028", " a ", "[1]", "a;b|c\td", "\ufeffa"]


def talk(*turns: tuple[str, str], **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": content} for role, content in turns], **more}


def rows() -> list[dict[str, Any]]:
    made = [talk(("user", f"{text}?"), ("assistant", text)) for text in ODD]
    made += [talk(("user", text), ("assistant", f"So: {text}"), split="test") for text in ODD if text.strip()]
    made += [talk(("system", "Be kind."), ("user", f"Question {n}?"), ("assistant", "Yes."), split="train") for n in range(30)]
    called = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "", "tool_calls": [CALL]}]
    answered = [{"role": "tool", "content": "1", "tool_call_id": "call00001"}, {"role": "assistant", "content": "1", "weight": 0}]
    made += [{"messages": [*called, *answered], "tools": TOOLS}, talk(("user", "Good?"), ("assistant", "Bad."), label=False)]
    made += [talk(("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d"), label=True)]
    better, worse = [{"role": "assistant", "content": "Yes."}], [{"role": "assistant", "content": "No."}]
    made += [{"input": {"messages": [{"role": "user", "content": "?"}]}, "preferred_output": better, "non_preferred_output": worse}]
    return [*made, {"text": "Once upon a time."}]


def test_a_table_brought_back_has_the_same_rows_on_the_same_sides(imported: Importer, tmp_path: Path) -> None:
    before = imported("\n".join(map(json.dumps, rows())))
    assert (before.report.rows, {row["split"] for row in before.rows}) == (len(rows()), {"train", "test"})
    table = taken_away(before, tmp_path)
    after = imported(table, "rows.csv")
    assert after.problems == []
    assert learnt(after) == learnt(before)


BEGUN = ["", "'", "=", "'=", "-", "\t", "\r\n", "\r", "\n", "'\r\n", "'\n", "''\r\n=", "\r\n=", "\r\r\n", '"', "\ufeff", " ", " \r\n"]
NAUGHTY = [
    "\n", "\r", "\r\n", "=1", "'=x", "'", "@", "\t", '"', '""', ",", ";", "|", " ", "\ufeff", "\u200b", "\u2028", "\x0b", "\x0c", "\x1a",
    "\x1c", "\x85", "ä", "日本", "😀", "{", "{}", "[]", "null", "true", "0", "NaN", "#", "sep=;", "\\", '\\"', "x",
]  # fmt: skip
ANY = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5)
TEXTS = st.tuples(st.sampled_from(BEGUN), st.lists(st.sampled_from(NAUGHTY), max_size=3).map("".join), ANY).map("".join)
TALKS = st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=2)
JUDGED = st.sampled_from([{}, {}, {"label": True}, {"label": False}])


@st.composite
def naughty_rows(draw: st.DrawFn) -> dict[str, Any]:
    """Make a row of each kind there is, of texts that tables trip over."""
    kind = draw(st.sampled_from(["talk", "system", "compared", "text"]))
    turns = [turn for asked, answered in draw(TALKS) for turn in (("user", asked), ("assistant", answered))]
    if kind == "text":
        return {"text": draw(TEXTS)}
    if kind == "compared":
        worse, better = ([{"role": "assistant", "content": draw(TEXTS)}] for _ in range(2))
        return {"input": talk(*turns[:-1]), "preferred_output": better, "non_preferred_output": worse}
    return talk(*([("system", draw(TEXTS))] if kind == "system" else []), *turns, **draw(JUDGED))


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(naughty_rows(), min_size=1, max_size=20))
def test_whatever_stands_in_the_rows_comes_back(imported: Importer, tmp_path: Path, made: list[dict[str, Any]]) -> None:
    before = imported("\n".join(map(json.dumps, [*made, talk(("user", "Who?"), ("assistant", "You."))])))
    after = imported(taken_away(before, tmp_path), "rows.csv")
    assert after.problems == []
    assert learnt(after) == learnt(before)


def test_no_cell_of_the_table_is_run(imported: Importer, tmp_path: Path) -> None:
    table = taken_away(imported("\n".join(map(json.dumps, rows()))), tmp_path).decode("utf-8-sig")
    lines = list(csv.reader(io.StringIO(table, newline="")))
    assert len(lines) == len(rows()) + 1
    assert not any(cell.startswith(FORMULA_STARTS) for line in lines for cell in line)


def test_a_table_that_a_spreadsheet_saved_as_a_workbook_has_the_same_rows(imported: Importer, tmp_path: Path) -> None:
    plain = [row for row in rows() if "\\r" not in json.dumps(row)]
    before = imported("\n".join(map(json.dumps, plain)))
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    for line in csv.reader(io.StringIO(taken_away(before, tmp_path).decode("utf-8-sig"), newline="")):
        sheet.append([cell == "true" if cell in {"true", "false"} else cell or None for cell in line])
    book.save(tmp_path / "rows.xlsx")
    after = imported(tmp_path / "rows.xlsx", "rows.xlsx")
    assert after.problems == []
    assert learnt(after) == learnt(before)


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("assistant", "Changed.", "column 'assistant' says something else than the column 'conversation'"),
        ("conversation", "{", "column 'conversation' holds no JSON"),
    ],
)
def test_a_row_that_was_changed_in_one_place_alone_is_set_aside_with_the_reason(
    imported: Importer, tmp_path: Path, column: str, value: str, words: str
) -> None:
    before = imported("\n".join(map(json.dumps, [talk(("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d"))] * 2)))
    lines = list(csv.reader(io.StringIO(taken_away(before, tmp_path).decode("utf-8-sig"), newline="")))
    lines[2][lines[0].index(column)] = value
    written = io.StringIO(newline="")
    csv.writer(written).writerows(lines)
    after = imported(written.getvalue(), "rows.csv")
    assert (after.report.rows, [line for line, _ in after.problems]) == (1, [3])
    assert words in after.problems[0][1]
