"""Parts of addresses that their form gives away, and how they become one."""

from __future__ import annotations

import pytest

from app.domain.masking import Span
from workers.curation.pii.addresses import find_parts, joined


def found(text: str) -> list[str]:
    return [text[span.start : span.end] for span in joined(text, find_parts(text))]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("I live at 12 High Street now", "12 High Street"),
        ("221b baker street", "221b baker street"),
        ("510 6th Ave, New York, NY 10011", "510 6th Ave, New York, NY 10011"),
        ("Hauptstraße 5 ist es", "Hauptstraße 5"),
        ("12 rue de la Paix", "12 rue de la Paix"),
        ("in Via Roma 12, grazie", "Via Roma 12"),
        ("P.O. Box 1234", "P.O. Box 1234"),
        ("London W1A 6ZF", "W1A 6ZF"),
        ("my zip code is 90210.", "90210"),
        ("Apt. 5", "Apt. 5"),
    ],
)
def test_a_part_is_known(text: str, address: str) -> None:
    assert found(text) == [address]


@pytest.mark.parametrize(
    "text", ["5 people in the street", "200 grams", "ID 12345", "3 ways to drive", "the Suite of 1870", "$50 Grant way"]
)
def test_what_is_no_address_is_left(text: str) -> None:
    assert found(text) == []


def test_parts_with_a_place_between_them_are_one() -> None:
    text = "12 High Street, Leeds, LS1 4AP"
    assert joined(text, [Span(0, 14, "ADDRESS"), Span(23, 30, "ADDRESS")]) == [Span(0, 30, "ADDRESS")]


def test_parts_with_a_sentence_between_them_are_two() -> None:
    text = "12 High Street is where i used to live, now it is 3 Low Road"
    assert found(text) == ["12 High Street", "3 Low Road"]
