from __future__ import annotations

import pytest

from app.domain.calls import Passed
from workers.curation.called import find_passed
from workers.curation.pii import Finder


@pytest.fixture(scope="module")
def finder() -> Finder:
    return Finder()


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("to", "mail ada@example.org", "EMAIL"),
        ("birth_date", "1990-04-12", "DATE_OF_BIRTH"),
        ("dateOfBirth", "1990-04-12", "DATE_OF_BIRTH"),
        ("customer_id", "12345", "ID"),
        ("ssn", "078-05-1120", "ID"),
        ("phone", "5551234567", "PHONE"),
        ("password", "hunter22x", "SECRET"),
        ("passenger", "Renée Roux", "NAME"),
        ("", "Renée Roux", "NAME"),
        ("card_number", "4111111111111111", "CARD"),
    ],
)
def test_what_a_value_is_called_says_what_it_is(finder: Finder, name: str, text: str, kind: str) -> None:
    (span,) = find_passed(finder.find, Passed(name, text))
    assert (span.kind, text[span.start : span.end]) == (kind, text.removeprefix("mail "))


@pytest.mark.parametrize(
    ("name", "text"), [("amount", "12345"), ("date", "1990-04-12"), ("password", " "), ("query", "weather"), ("n", "")]
)
def test_other_values_are_nobodys(finder: Finder, name: str, text: str) -> None:
    assert find_passed(finder.find, Passed(name, text)) == []


def test_what_is_found_in_a_name_is_not_marked_in_its_value(finder: Finder) -> None:
    assert finder.find("ada@example.org: yes")
    assert find_passed(finder.find, Passed("ada@example.org", "yes")) == []
