"""A row as the grid shows it: how much of a long text is shown at once, and that nothing of it is lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from app.domain.problems import Mark
from app.web.rows_view import CUT, CUT_TURN, said


def whole(text: str, *marks: Mark, cut: int = CUT) -> tuple[str, str]:
    found = said(text, marks, cut)
    shown, folded = ("".join(piece.text for piece in part) for part in (found.shown, found.folded))
    assert shown + folded == text
    assert found.more == len(text) - len(shown)
    return shown, folded


def test_a_long_text_is_cut_behind_a_word() -> None:
    shown, folded = whole("wonderful " * 100)
    assert (len(shown) <= CUT, shown.endswith("wonderful "), folded.startswith("wonderful ")) == (True, True, True)


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
