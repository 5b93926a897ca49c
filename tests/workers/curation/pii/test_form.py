"""What is known by its form: the right last digit counts, and a wrong one does not."""

from __future__ import annotations

import pytest

from workers.curation.pii.form import find_by_form


def found(text: str) -> list[tuple[str, str]]:
    return [(text[span.start : span.end], span.kind) for span in find_by_form(text)]


@pytest.mark.parametrize(
    ("text", "value", "kind"),
    [
        ("mail jane.doe+shop@mail.example.co.uk.", "jane.doe+shop@mail.example.co.uk", "EMAIL"),
        ("<josé@müller.de>", "josé@müller.de", "EMAIL"),
        ("see https://example.com/a?b=c#d, please", "https://example.com/a?b=c#d", "URL"),
        ("(www.example.org)", "www.example.org", "URL"),
        ("from 203.0.113.7!", "203.0.113.7", "IP"),
        ("host 2001:db8::ff00:42:8329 is up", "2001:db8::ff00:42:8329", "IP"),
        ("mac 00:1b:63:84:45:e6", "00:1b:63:84:45:e6", "IP"),
        ("to GB82 WEST 1234 5698 7654 32 today", "GB82 WEST 1234 5698 7654 32", "IBAN"),
        ("to de89370400440532013000", "de89370400440532013000", "IBAN"),
        ("4111 1111 1111 1111", "4111 1111 1111 1111", "CARD"),
        ("3782-822463-10005", "3782-822463-10005", "CARD"),
        ("536-90-4399", "536-90-4399", "ID"),
        ("AB 12 34 56 C", "AB 12 34 56 C", "ID"),
        ("943 476 5919", "943 476 5919", "ID"),
        ("S1234567D", "S1234567D", "ID"),
        ("12345678Z", "12345678Z", "ID"),
        ("RSSMRA85T10A562S", "RSSMRA85T10A562S", "ID"),
        ("131052-308T", "131052-308T", "ID"),
        ("ABCPE1234F", "ABCPE1234F", "ID"),
        ("2341 2341 2346", "2341 2341 2346", "ID"),
        ("1BoatSLRHtKNngkdXEeobR76b53LETtpyT", "1BoatSLRHtKNngkdXEeobR76b53LETtpyT", "ID"),
    ],
)
def test_a_form_is_known(text: str, value: str, kind: str) -> None:
    assert (value, kind) in found(text)


@pytest.mark.parametrize(
    "text",
    [
        "4111 1111 1111 1112",
        "0000 0000 0000 0000",
        "GB82 WEST 1234 5698 7654 33",
        "000-12-3456 and 666-12-3456",
        "S1234567A",
        "12345678A",
        "version 1.2.3.4.5 and 300.1.1.1",
        "at 12:30:15 on 127.0.0.1",
        "@jane and a@b",
        "1234567890123456789012",
        "std::vector<int>",
    ],
)
def test_what_only_looks_like_it_is_left(text: str) -> None:
    assert found(text) == []
