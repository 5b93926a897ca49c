"""The ruler itself: half of the letters, and all of them."""

from __future__ import annotations

from app.domain.masking import Span
from tests.workers.curation.pii.gold import joined
from tests.workers.curation.pii.scoring import score


def test_half_of_the_letters_is_found_and_less_is_not() -> None:
    marked = [Span(0, 10, "NAME")]
    assert score([(marked, [Span(0, 5, "NAME")])])["NAME"].recall == 1
    assert score([(marked, [Span(0, 4, "NAME")])])["NAME"].recall == 0
    assert score([(marked, [Span(0, 21, "NAME")])])["NAME"].precision == 0


def test_another_kind_is_not_it() -> None:
    scores = score([([Span(0, 4, "NAME")], [Span(0, 4, "ID")])])
    assert (scores["NAME"].recall, scores["ID"].precision) == (0, 0)


def test_strictly_both_ends_must_agree() -> None:
    scores = score([([Span(0, 10, "ID"), Span(20, 30, "ID")], [Span(0, 9, "ID"), Span(20, 30, "ID")])])
    assert (scores["ID"].hit, scores["ID"].exact) == (2, 1)


def test_pieces_of_an_address_are_one_and_a_place_alone_is_none() -> None:
    text = "12 High Street, Leeds. He likes York."
    pieces = [Span(0, 2, "ADDRESS"), Span(3, 14, "ADDRESS"), Span(16, 21, "LOCATION"), Span(32, 36, "LOCATION")]
    assert joined(text, pieces) == [Span(0, 21, "ADDRESS")]
