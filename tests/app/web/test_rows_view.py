"""A row as the grid shows it: how much of a long text is shown at once, and that nothing of it is lost."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as some

from app.domain.datasets import Message, Row, Split
from app.domain.problems import Finding, Mark
from app.services.desk_rows import Looked
from app.web.rows_view import CUT, CUT_CALL, CUT_TURN, MOST_CALLS, MOST_TURNS, Piece, line_of, said


def whole(text: str, *marks: Mark, cut: int = CUT) -> tuple[str, str]:
    found = said(text, marks, cut)
    shown, folded = ("".join(piece.text for piece in part) for part in (found.shown, found.folded))
    assert shown + folded == text
    assert found.more == len(text) - len(shown)
    return shown, folded


def test_a_long_text_is_cut_behind_a_word() -> None:
    shown, folded = whole("wonderful " * 100)
    assert (len(shown) <= CUT, shown.endswith("wonderful "), folded.startswith("wonderful ")) == (True, True, True)


def test_a_text_that_is_hardly_too_long_is_shown_whole() -> None:
    assert whole("a word " * (CUT // 7 + 5))[1] == ""


def test_a_text_of_many_lines_is_cut_behind_a_line() -> None:
    shown, _ = whole("a\n" * 100, cut=CUT_TURN)
    assert shown == "a\n" * 6


@pytest.mark.parametrize("text", ["short", "", "x" * (CUT + 1), "\n" * CUT])
def test_texts_without_words_are_shown_too(text: str) -> None:
    shown, _ = whole(text)
    assert shown or not text


@given(some.text("ab \n", max_size=900), some.integers(0, 880), some.integers(1, 20))
def test_nothing_is_lost_between_marks(text: str, start: int, length: int) -> None:
    whole(text, Mark(0, start, start + length, "NAME"))


def calling(**arguments: str) -> Message:
    call = {"id": "1", "type": "function", "function": {"name": "look", "arguments": json.dumps(arguments)}}
    return Message(role="assistant", content="Done.", tool_calls=[call])


def test_what_was_found_in_what_is_passed_to_tools_is_marked_there() -> None:
    messages = [Message(role="user", content="Look."), calling(to='Ada "A"', at="home")]
    row = Row(row=0, split=Split.TRAIN, messages=messages, rejected=[calling(to="b@y.org")])
    finding = Finding(0, marks=(Mark(3, 0, 7, "NAME"), Mark(5, 0, 7, "EMAIL")))
    line = line_of(Looked(row, finding), None, 1_024)
    assert line.turns[1].calls == [
        [Piece('look(to: "'), Piece(r'Ada \"A\"', "NAME", "a person's name"), Piece('", at: "home")')]
    ]  # fmt: skip
    assert [piece for piece in line.rejected[0].calls[0] if piece.kind] == [Piece("b@y.org", "EMAIL", "an e-mail address")]


def test_a_long_call_is_cut() -> None:
    row = Row(row=0, split=Split.TRAIN, messages=[Message(role="user", content="Look."), calling(to="a" * 1_000)])
    [piece] = line_of(Looked(row, Finding(0)), None, 1_024).turns[1].calls[0]
    assert (len(piece.text), piece.text[-1]) == (CUT_CALL, "…")


def test_of_many_calls_in_one_turn_only_the_first_are_drawn() -> None:
    call = (calling(to="Ada").tool_calls or [])[0]
    many = Message(role="assistant", content="", tool_calls=[call] * (MOST_CALLS + 1_980))
    calls = line_of(Looked(Row(row=0, split=Split.TRAIN, messages=[many]), Finding(0)), None, 1_024).turns[0].calls
    assert (len(calls), calls[-1]) == (MOST_CALLS + 1, [Piece("… and 1,980 more")])


def test_of_thousands_of_turns_only_the_first_are_drawn_each_with_its_own_marks() -> None:
    turns = [Message(role="user" if place % 2 == 0 else "assistant", content=f"{place}@b.co") for place in range(MOST_TURNS + 50)]
    marks = tuple(Mark(place, 0, len(turn.content), "EMAIL") for place, turn in enumerate([*turns, *turns[:3]]))
    line = line_of(Looked(Row(row=0, split=Split.TRAIN, messages=turns, rejected=turns[:3]), Finding(0, marks=marks)), None, 1_024)
    assert (len(line.turns), len(line.rejected), line.beyond) == (MOST_TURNS, 3, 50)
    for turn, message in zip([*line.turns, *line.rejected], [*turns[:MOST_TURNS], *turns[:3]], strict=True):
        assert turn.said.shown == [Piece(message.content, "EMAIL", "an e-mail address")]
