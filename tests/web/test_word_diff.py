"""Two texts word by word: what is marked, and how much of them is compared at most."""

from __future__ import annotations

from difflib import SequenceMatcher

import pytest

from app.web import word_diff
from app.web.rows_view import Piece


def test_only_what_lies_between_a_common_beginning_and_end_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[int, int]] = []

    def counted(_pieces: list[Piece], old: list[str], new: list[str]) -> None:
        compared.append((len(old), len(new)))

    monkeypatch.setattr(word_diff, "_compare", counted)
    word_diff.merged("same " * 900 + "one " + "end " * 900, "same " * 900 + "other " + "end " * 900)
    assert compared == [(1, 1)]


def test_no_more_words_than_the_limit_reach_the_matcher(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[int] = []
    matcher = SequenceMatcher

    def counted(junk: None, old: list[str], new: list[str], *, autojunk: bool) -> object:
        compared.extend((len(old), len(new)))
        return matcher(junk, old, new, autojunk=autojunk)

    monkeypatch.setattr(word_diff, "SequenceMatcher", counted)
    before, after = "a " * 5_000, "b " * 5_000
    gone, new = word_diff.differences(before, after)
    assert max(compared) <= 300
    assert ("".join(piece.text for piece in gone), "".join(piece.text for piece in new)) == (before, after)
