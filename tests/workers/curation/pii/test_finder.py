"""The whole finder on short texts, as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.masking import KINDS, mask
from tests.workers.curation.pii.conftest import Finds
from workers.curation.pii import Finder


def test_a_name_and_a_number_are_masked(finder: Finder) -> None:
    text = "My name is John Smith and my ID is 12345"
    assert mask([text], [finder.find(text)]) == (
        ["My name is [NAME] and my ID is [ID]"],
        {"[NAME]": "John Smith", "[ID]": "12345"},
    )


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("my name is john smith", ["john smith"]),
        ("hi im sarah, my parcel is late", ["sarah"]),
        ("CALL ME JOHN SMITH NOW", ["JOHN SMITH"]),
        ("Dear Mrs. Okonkwo,", ["Okonkwo"]),
        ("He was seen by Dr Patel.", ["Patel"]),
        ("Contact Dr. Mary-Jane O'Neil (Acme Ltd).", ["Mary-Jane O'Neil"]),
        ("I spoke to J. R. Hartley and to Ann's brother.", ["J. R. Hartley", "Ann"]),
        ("Regards,\nPriya Venkataraman", ["Priya Venkataraman"]),
        ("Bitte rufen Sie Herrn Müller zurück.", ["Müller"]),
    ],
)
def test_names_are_found(finds: Finds, text: str, names: list[str]) -> None:
    assert [value for value, kind in finds(text) if kind == "NAME"] == names


@pytest.mark.parametrize(
    "text",
    [
        "The meeting is on Monday in Paris.",
        "I will be in May, mark my words.",
        "How do I install Windows 11 on my ThinkPad?",
        "WHY IS NOBODY ANSWERING ME",
        "i wanna cancel my order pls",
        "The CEO said that GDP and the API are fine.",
        "Add 20 grams of sugar and 2 cups of flour.",
        "Thanks for your help!",
        "Ellis Ltd, Smith & Sons and Lawrence Group are companies.",
        "What is the capital of France?",
        "",
        "\n\n",
        "你好，我叫王小明",
    ],
)
def test_a_text_without_personal_data_is_left(finds: Finds, text: str) -> None:
    assert finds(text) == []


def test_a_whole_letter(finds: Finds) -> None:
    text = (
        "Dear Sir or Madam,\nplease send the refund for order 118822 to my new address, 12 High Street, Leeds LS1 4AP,\n"
        "or call me on 0113 496 0000. My mail is anna.kowalska@example.org.\nKind regards\nAnna Kowalska"
    )
    assert finds(text) == [
        ("118822", "ID"),
        ("12 High Street, Leeds LS1 4AP", "ADDRESS"),
        ("0113 496 0000", "PHONE"),
        ("anna.kowalska@example.org", "EMAIL"),
        ("Anna Kowalska", "NAME"),
    ]


def test_the_surer_find_keeps_its_place(finds: Finds) -> None:
    assert finds("password: jane.doe@firm.org1") == [("jane.doe@firm.org1", "SECRET")]
    assert finds("https://example.org/john.smith@home") == [("https://example.org/john.smith@home", "URL")]


PIECES = st.sampled_from(
    [
        "John Smith",
        "my name is ",
        "12 High Street",
        "call +44 20 7946 0000",
        "id 12345",
        " ",
        "\n",
        ", ",
        "password: aB3$xyz9",
        "@",
        "é",
        "[NAME]",
        "\x00",
    ]
)


@given(st.lists(st.one_of(PIECES, st.text(max_size=12)), max_size=12).map("".join))
def test_finds_are_in_order_apart_and_of_known_kinds(finder: Finder, text: str) -> None:
    end = 0
    for span in finder.find(text):
        assert end <= span.start < span.end <= len(text)
        assert span.kind in KINDS
        end = span.end


@pytest.mark.parametrize(
    "piece", ["call +44 20 7946 0000, ", "id 12345 ", "a.b@c.de ", "GB11 ", "1-", "(1", "Ann Lee ", "ab-", "password is "]
)
def test_a_long_text_takes_no_more_steps_than_its_length(finder: Finder, piece: str) -> None:
    # Were anything quadratic, this would not end within the limit of a test.
    text = piece * (100_000 // len(piece))
    assert all(span.end <= len(text) for span in finder.find(text))
