from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from app.web.word_diff import GONE, MOST_WORDS, NEW, differences, merged, shortened


def test_words_that_only_one_text_has_are_marked() -> None:
    left, right = differences("My name is John Smith.", "My name is [NAME].")
    assert "".join(piece.text for piece in left if piece.kind) == "John Smith"
    assert "".join(piece.text for piece in right if piece.kind) == "[NAME]"


@given(some.text(max_size=60), some.text(max_size=60))
def test_both_texts_are_whole(before: str, after: str) -> None:
    left, right = differences(before, after)
    assert ("".join(piece.text for piece in left), "".join(piece.text for piece in right)) == (before, after)
    assert {piece.kind for piece in merged(before, after)} <= {"", GONE, NEW}


@pytest.mark.parametrize("end", ["same", "other"])
def test_long_texts_are_compared_up_to_a_point_and_shown_beyond_it(end: str) -> None:
    before, after = "word " * MOST_WORDS + "same", "word " * MOST_WORDS + end
    left, right = differences(before, after)
    assert ("".join(piece.text for piece in left), "".join(piece.text for piece in right)) == (before, after)


def test_what_texts_share_is_shown_around_their_differences() -> None:
    shared = "word " * 200
    pieces = shortened(merged(f"{shared}old {shared}", f"{shared}new {shared}"))
    assert [piece.text for piece in pieces if piece.kind] == ["old ", "new "]
    assert all(len(piece.text) < 400 for piece in pieces)
    assert [" … " in piece.text for piece in pieces] == [True, False, False, True]
