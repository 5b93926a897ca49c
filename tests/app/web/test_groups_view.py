"""Rows that are alike: what differs is shown wherever it stands, of as many turns as a page can hold."""

from __future__ import annotations

from app.domain.datasets import Message, Row, Split
from app.domain.problems import Finding, Trouble
from app.services.desk_rows import Group, Looked
from app.web.groups_view import Shown, group_of
from app.web.rows_view import MOST_TURNS
from app.web.word_diff import Comparing


def shown(*rows: list[str]) -> Shown:
    messages = [[Message(role="assistant" if turn % 2 else "user", content=text) for turn, text in enumerate(row)] for row in rows]
    looked = [Looked(Row(row=number, split=Split.TRAIN, messages=each), Finding(number)) for number, each in enumerate(messages)]
    return group_of(Group(looked, 0, len(looked)), Trouble.NEAR_DUPLICATE, Comparing())


def test_twins_that_differ_at_their_end_alone_do_not_look_the_same() -> None:
    shared = "word " * 5_000
    kept, other = shown(["Hi?", f"{shared}yes"], ["Hi?", f"{shared}no"]).members
    assert not any(piece.kind for _, pieces in kept.turns for piece in pieces)
    assert [(piece.text, piece.kind) for piece in other.turns[1][1] if piece.kind] == [("yes", "gone"), ("no", "new")]
    assert all(len(piece.text) < 400 for member in (kept, other) for _, pieces in member.turns for piece in pieces)


def test_of_rows_of_thousands_of_turns_only_the_first_are_shown() -> None:
    kept, other = shown(["a"] * 20, ["b"] * (MOST_TURNS + 30)).members
    assert [(len(member.turns), member.beyond) for member in (kept, other)] == [(20, 0), (MOST_TURNS, 30)]
    assert [piece.kind for piece in other.turns[0][1]] == ["gone", "new"]
    assert [piece.kind for piece in other.turns[-1][1]] == ["new"]
