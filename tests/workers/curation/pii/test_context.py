"""A bare number is somebody's when a word beside it says so."""

from __future__ import annotations

import pytest

from workers.curation.pii.context import find_by_context


def found(text: str) -> list[tuple[str, str]]:
    return [(text[span.start : span.end], span.kind) for span in find_by_context(text)]


@pytest.mark.parametrize(
    ("text", "value", "kind"),
    [
        ("my ID is 12345", "12345", "ID"),
        ("a message to the user with ID 12345.", "12345", "ID"),
        ("Order number 48213 is late", "48213", "ID"),
        ("order #A-77213 is late", "A-77213", "ID"),
        ("my driver's license number is D1234567", "D1234567", "ID"),
        ("passport no. X12345678", "X12345678", "ID"),
        ("account number: 000123456789", "000123456789", "ID"),
        ("sort code 20-01-15", "20-01-15", "ID"),
        ("meine Kundennummer ist 8812345.", "8812345", "ID"),
        ("mon numéro de commande : 4482210", "4482210", "ID"),
        ("SSN 078-05-1120", "078-05-1120", "ID"),
        ("call me at 5551234567", "5551234567", "PHONE"),
        ("(96) 627-277", "(96) 627-277", "PHONE"),
        ("+44 20 7946 0000", "+44 20 7946 0000", "PHONE"),
        ("986.291.2294x751", "986.291.2294x751", "PHONE"),
        ("020 7946 0000", "020 7946 0000", "PHONE"),
        ("0651 661274 office", "0651 661274", "PHONE"),
        ("Rufen Sie mich an: 030 1234567", "030 1234567", "PHONE"),
        ("I was born on 12/27/1986.", "12/27/1986", "DATE_OF_BIRTH"),
        ("dob: 5 May 1990", "5 May 1990", "DATE_OF_BIRTH"),
        ("1990-05-05 is my birthday", "1990-05-05", "DATE_OF_BIRTH"),
        ("the card 4111 1111 1111 1112 was refused", "4111 1111 1111 1112", "CARD"),
        ("IBAN: GB82 WEST 1234 5698 7654 33", "GB82 WEST 1234 5698 7654 33", "IBAN"),
        ("username: jdoe99", "jdoe99", "USERNAME"),
        ("follow @jane_doe7", "@jane_doe7", "USERNAME"),
    ],
)
def test_a_word_beside_it_tells(text: str, value: str, kind: str) -> None:
    assert (value, kind) in found(text)


@pytest.mark.parametrize(
    "text",
    [
        "It cost $1,234,567 in 2019.",
        "about 1 000 000 000 people",
        "In case 2000 people come, order 12 more.",
        "the invoice 2021",
        "the account 5 of 10",
        "3.14159265 and 1234567",
        "on 12/05/2024 at 10:30",
        "I paid 4111 dollars",
        "order 12345 items",
        "(161.86 / 74.99) * 100",
        "my login is broken",
        "def area(self): return event.target.value",
    ],
)
def test_prices_years_and_quantities_are_nobodys(text: str) -> None:
    assert found(text) == []


def test_the_nearest_word_decides() -> None:
    text = "call me at 020 7946 0000, my order number is 5551234567"
    assert set(found(text)) == {("020 7946 0000", "PHONE"), ("5551234567", "ID")}


def test_a_birthday_among_other_dates() -> None:
    text = "She was born on 3 March 1970. The contract was signed in our office, on a rainy day of the year, that is on 12 May 2020."
    assert found(text) == [("3 March 1970", "DATE_OF_BIRTH")]
