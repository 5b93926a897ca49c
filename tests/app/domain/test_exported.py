from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.examples import SetAside
from app.domain.exported import COLUMNS, cells_of, is_exported, row_of
from app.domain.spreadsheets import csv_safe


def turn(role: str, content: str, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


ASKED, ANSWERED = turn("user", "Hi?"), turn("assistant", "Hello.")
CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
PLAIN: list[dict[str, Any]] = [
    {"messages": [ASKED, ANSWERED]},
    {"messages": [turn("system", "Be kind."), ASKED, ANSWERED]},
    {"messages": [ASKED, ANSWERED], "label": False},
    {"input": {"messages": [ASKED]}, "preferred_output": [ANSWERED], "non_preferred_output": [turn("assistant", "No.")]},
    {"text": "Once\nupon a time"},
    {"messages": [turn("user", "=1+1"), turn("assistant", "-2")]},
]
RICH: list[dict[str, Any]] = [
    {"messages": [ASKED, ANSWERED], "tools": [{"type": "function", "function": {"name": "f"}}]},
    {"messages": [ASKED, ANSWERED | {"weight": 0}]},
    {"messages": [ASKED, ANSWERED, ASKED, ANSWERED]},
    {"messages": [ASKED | {"name": "ada"}, ANSWERED]},
    {"messages": [ASKED, turn("assistant", "Wait.", tool_calls=[CALL]), turn("tool", "4", tool_call_id="1"), ANSWERED], "label": True},
    {"messages": [ASKED, turn("assistant", "", tool_calls=[CALL])]},
    {
        "input": {"messages": [ASKED], "tools": [{"type": "function", "function": {"name": "f"}}]},
        "preferred_output": [ANSWERED],
        "non_preferred_output": [turn("assistant", "No.")],
    },
    {"messages": [turn("user", "'=1"), ANSWERED]},
    {"messages": [turn("user", "a\r\nb"), ANSWERED]},
    {"messages": [turn("user", "\r\n=x"), ANSWERED, ASKED, turn("assistant", "'\r\nx")]},
]


def cells(row: dict[str, Any], split: str = "train") -> dict[str, str]:
    """Return a row's cells as a spreadsheet is given them."""
    return dict(zip(COLUMNS, map(csv_safe, cells_of(row | {"split": split})), strict=True))


@pytest.mark.parametrize("row", PLAIN)
def test_cells_tell_a_plain_row(row: dict[str, Any]) -> None:
    told = cells(row)
    assert (told["conversation"], told["split"]) == ("", "train")
    assert row_of(told) == row


@pytest.mark.parametrize("row", [*PLAIN, *RICH])
def test_line_ends_that_a_reader_makes_its_own_leave_the_row_as_it_was(row: dict[str, Any]) -> None:
    assert row_of({name: cell.replace("\r\n", "\n") for name, cell in cells(row).items()}) == row


@pytest.mark.parametrize("row", RICH)
def test_a_row_of_which_cells_cannot_tell_all_stands_whole_beside_them(row: dict[str, Any]) -> None:
    told = cells(row, "test")
    assert told["conversation"].startswith("{")
    assert told["split"] == "test"
    assert row_of(told) == row


TURNS = st.tuples(st.sampled_from(["system", "user", "assistant", "tool"]), st.text(st.characters(), min_size=1)).map(
    lambda said: turn(*said)
)


@given(st.lists(TURNS, min_size=1, max_size=4), st.sampled_from([{}, {"label": True}, {"label": False}]))
def test_whatever_is_said_comes_back(messages: list[dict[str, Any]], more: dict[str, Any]) -> None:
    row = {"messages": messages, **more}
    assert row_of(cells(row)) == row


@pytest.mark.parametrize("liked", ["TRUE", "true", "1", "yes"])
def test_what_a_spreadsheet_makes_of_a_judgement_is_still_one(liked: str) -> None:
    assert row_of(cells(PLAIN[2]) | {"liked": liked})["label"] is True


@pytest.mark.parametrize(
    ("row", "changed", "words"),
    [
        (PLAIN[2], {"liked": "perhaps"}, "column 'liked' says 'perhaps'"),
        (RICH[2], {"assistant": "Better."}, "column 'assistant' says something else than the column 'conversation'"),
        (RICH[2], {"conversation": "[1]"}, "holds no object"),
    ],
)
def test_cells_that_contradict_each_other_are_set_aside(row: dict[str, Any], changed: dict[str, str], words: str) -> None:
    with pytest.raises(SetAside, match=words.replace("[", r"\[")):
        row_of(cells(row) | changed)


def test_a_conversation_alone_is_a_row_and_so_is_what_a_spreadsheet_has_rewrapped() -> None:
    given = {"messages": [ASKED, turn("assistant", "one\n\ntwo"), ASKED, turn("assistant", "one\n\ntwo")]}
    told = cells(given)
    assert row_of(dict.fromkeys(COLUMNS, "") | {"conversation": told["conversation"]}) == given
    assert row_of(told | {"assistant": "one\r\n\r\ntwo "}) == given


def test_a_conversation_of_another_kind_is_judged_by_whoever_reads_it() -> None:
    told = dict.fromkeys(COLUMNS, "") | {"user": "Hi?", "conversation": '{"messages": 1}'}
    assert row_of(told) == {"messages": 1}


def test_only_a_table_with_all_its_columns_is_one() -> None:
    assert is_exported(cells(PLAIN[0]))
    assert not is_exported({"user": "Hi?", "assistant": "Hello."})
