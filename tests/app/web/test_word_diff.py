"""Two texts word by word: what is marked, and how much of them is compared at most."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as some
from rapidfuzz.distance import Indel

from app.web.rows_view import Piece
from app.web.word_diff import GONE, MOST_CHARACTERS, MOST_WORDS, NEW, Comparing, shortened


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """How many words of both sides reach the matcher, each time."""
    seen: list[tuple[int, int]] = []
    opcodes = Indel.opcodes

    def counted(old: Sequence[str], new: Sequence[str]) -> object:
        seen.append((len(old), len(new)))
        return opcodes(old, new)

    monkeypatch.setattr(Indel, "opcodes", counted)
    return seen


def merged(before: str, after: str) -> list[Piece]:
    return Comparing().merged(before, after)


def texts(sides: tuple[list[Piece], list[Piece]]) -> tuple[str, str]:
    before, after = ("".join(piece.text for piece in side) for side in sides)
    return before, after


def test_words_that_only_one_text_has_are_marked() -> None:
    left, right = Comparing().differences("My name is John Smith.", "My name is [NAME].")
    assert "".join(piece.text for piece in left if piece.kind) == "John Smith"
    assert "".join(piece.text for piece in right if piece.kind) == "[NAME]"


def test_the_space_behind_words_that_differ_is_not_marked() -> None:
    left, right = Comparing().differences("Ask John Smith about it.", "Ask [NAME] about it.")
    assert [piece.text for piece in left if piece.kind] == ["John Smith"]
    assert [piece.text for piece in right if piece.kind] == ["[NAME]"]
    assert merged("Do not miss out!", "Do not miss out! ") == [Piece("Do not miss out!"), Piece(" ", NEW, "only in the second")]


@given(some.text(max_size=60), some.text(max_size=60))
def test_both_texts_are_whole(before: str, after: str) -> None:
    left, right = Comparing().differences(before, after)
    assert ("".join(piece.text for piece in left), "".join(piece.text for piece in right)) == (before, after)
    assert {piece.kind for piece in merged(before, after)} <= {"", GONE, NEW}


@given(some.text("ab .\n", max_size=90), some.text("ab .\n", max_size=90))
def test_texts_are_whole_and_it_is_said_when_they_are_compared_in_part(before: str, after: str) -> None:
    with pytest.MonkeyPatch.context() as few:
        few.setattr("app.web.word_diff.MOST_CHARACTERS", 30)
        few.setattr("app.web.word_diff.MOST_WORDS", 8)
        comparing = Comparing()
        sides = comparing.differences(before, after)
    assert texts(sides) == (before, after)
    rest = ["".join(piece.text for piece in side if not piece.kind) for side in sides]
    assert comparing.gave_up or rest[0] == rest[1]
    assert before == after or comparing.gave_up or any(piece.kind for side in sides for piece in side)


@pytest.mark.parametrize("filling", ["word ", "word.", "\u4e2d\u3002", "\n"])
def test_a_difference_is_found_wherever_it_stands(filling: str) -> None:
    shared = filling * MOST_CHARACTERS
    comparing = Comparing()
    left, right = comparing.differences(f"{shared} to ada@x.org at once. {shared}", f"{shared} to [EMAIL] at once. {shared}")
    assert ["".join(piece.text for piece in side if piece.kind) for side in (left, right)] == ["ada@x.org", "[EMAIL]"]
    assert not comparing.gave_up


def test_what_is_too_long_to_be_compared_is_not_marked_and_that_is_said() -> None:
    comparing = Comparing()
    before, after = f"one {'here ' * MOST_WORDS} two {'x' * 50} 1", f"1 {'there ' * MOST_WORDS} 2 {'y' * 50} one"
    left, right = comparing.differences(before, after)
    assert texts((left, right)) == (before, after)
    assert (left[-1].kind, right[-1].kind, comparing.gave_up) == ("", "", True)


def test_what_texts_share_is_shown_around_their_differences() -> None:
    shared = "word " * 200
    pieces = shortened(merged(f"{shared}old {shared}", f"{shared}new {shared}"))
    assert [piece.text for piece in pieces if piece.kind] == ["old", "new"]
    assert all(len(piece.text) < 400 for piece in pieces)
    assert [" … " in piece.text for piece in pieces] == [True, False, False, True]


def test_only_what_lies_between_a_common_beginning_and_end_is_compared(compared: list[tuple[int, int]]) -> None:
    merged("same " * 900 + "one " + "end " * 900, "same " * 900 + "other " + "end " * 900)
    assert compared == [(1, 1)]


def test_no_more_words_than_the_limit_reach_the_matcher(compared: list[tuple[int, int]]) -> None:
    before, after = "a " * 5_000, "b " * 5_000
    assert texts(Comparing().differences(before, after)) == (before, after)
    assert compared == [(MOST_WORDS, MOST_WORDS)]


def test_a_page_compares_so_much_and_shows_the_rest_without_marks(compared: list[tuple[int, int]]) -> None:
    comparing = Comparing(most=100)
    pair = "a " * 20, "b " * 20
    assert comparing.differences(*pair)[0][0].kind == GONE
    assert not comparing.gave_up
    assert comparing.differences(*pair) == ([Piece(pair[0])], [Piece(pair[1])])
    assert comparing.merged(*pair) == [Piece(pair[1])]
    assert (comparing.gave_up, len(compared)) == (True, 1)


def test_what_is_the_same_costs_nothing(compared: list[tuple[int, int]]) -> None:
    comparing = Comparing(most=10)
    assert comparing.merged("same " * 900, "same " * 900) == [Piece("same " * 900)]
    assert (comparing.gave_up, compared) == (False, [])
