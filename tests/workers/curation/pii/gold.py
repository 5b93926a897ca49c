"""Texts in which somebody marked the personal data: sentences that others made, and their templates filled anew.

The templates belong to others and were never learnt from. A third of the filled-in names come from countries whose names no
list of the tagger has. Neighbouring pieces of an address, with the place among them, are one address.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from faker import Faker

from app.domain.masking import Span
from tools.name_tagger.sources import LEFT_OUT, TAUGHT, Names, country_names

KNOWN_LOCALES = tuple(each for each in TAUGHT if not each.startswith(("el_", "ru_", "uk_", "bg_")))
PLACES = ("en_US", "en_US", "en_GB", "en_AU", "en_CA", "de_DE", "fr_FR", "nl_NL", "it_IT", "es_ES", "sv_SE", "sk_SK", "ro_RO")
PUBLISHED = {
    "PERSON": "NAME", "ADDRESS": "ADDRESS", "LOCATION": "LOCATION", "PHONE_NUMBER": "PHONE", "CREDIT_CARD": "CARD",
    "EMAIL_ADDRESS": "EMAIL", "IP_ADDRESS": "IP", "US_SSN": "ID", "US_DRIVER_LICENSE": "ID", "DOMAIN_NAME": "URL", "IBAN_CODE": "IBAN",
}  # fmt: skip
"""What the published marks are called here; what is missing (titles, companies, dates) is not personal data by itself."""
SLOTS = {
    "address": "ADDRESS", "building_number": "ADDRESS", "street_name": "ADDRESS", "secondary_address": "ADDRESS", "zipcode": "ADDRESS",
    "postcode": "ADDRESS", "city": "LOCATION", "country": "LOCATION", "state_abbr": "LOCATION", "phone_number": "PHONE",
    "credit_card_number": "CARD", "iban": "IBAN", "email": "EMAIL", "ip_address": "IP", "url": "URL", "ssn": "ID",
    "us_driver_license": "ID",
    "date_of_birth": "DATE_OF_BIRTH", "person": "NAME", "name": "NAME",
}  # fmt: skip
SLOT = re.compile(r"\{\{(\w+)\}\}")
BETWEEN_PIECES = re.compile(r"[\s,.>?]{0,12}|\s*, nan\s*")


class Marked(NamedTuple):
    """A text with its personal data, and the names among it that no list knows."""

    text: str
    spans: list[Span]
    unknown: frozenset[Span] = frozenset()


def published(material: Path) -> list[Marked]:
    """Return the sentences as others filled and marked them."""
    rows = json.loads((material / "pii" / "presidio_generated_small.json").read_bytes())
    return [Marked(row["full_text"], joined(row["full_text"], list(_published(row)))) for row in rows]


def _published(row: dict[str, Any]) -> Iterator[Span]:
    for each in row["spans"]:
        born = each["entity_type"] == "DATE_TIME" and "{{date_of_birth}}" in row["masked"]
        kind = "DATE_OF_BIRTH" if born else PUBLISHED.get(each["entity_type"])
        if kind:
            yield Span(each["start_position"], each["end_position"], kind)


def filled(material: Path, sentences: int, seed: int) -> list[Marked]:
    """Return the templates of others filled with people, addresses and numbers from one seed."""
    lines = (material / "pii" / "presidio_templates.txt").read_text(encoding="utf-8", errors="replace").splitlines()
    rng = random.Random(seed)  # noqa: S311 -- chance for sentences, not for secrets
    fakers = {locale: Faker(locale) for locale in PLACES}
    for faker in fakers.values():
        faker.seed_instance(rng.randrange(2**31))
    makers = _makers(rng, fakers)
    order = [line.replace("\\n", "\n").replace("\\,", ",") for line in lines if line.strip()]
    rng.shuffle(order)
    return [_fill(order[number % len(order)], rng, makers) for number in range(sentences)]


def _makers(rng: random.Random, fakers: dict[str, Faker]) -> dict[str, Callable[[], str]]:
    """Return what fills each slot; nothing here is what the tagger learnt to fill with, but for the names of some countries."""
    english: Any = fakers["en_US"]

    def place() -> Any:
        return fakers[rng.choice(PLACES)]

    return {
        "address": lambda: place().address(), "building_number": lambda: place().building_number(),
        "street_name": lambda: place().street_name(),
        "secondary_address": english.secondary_address, "zipcode": english.zipcode, "postcode": lambda: place().postcode(),
        "city": lambda: place().city(), "country": english.country, "state_abbr": english.state_abbr,
        "phone_number": lambda: place().phone_number(), "credit_card_number": english.credit_card_number, "iban": lambda: place().iban(),
        "email": english.email, "ip_address": english.ipv4_public, "url": english.url, "ssn": english.ssn,
        "us_driver_license": lambda: rng.choice(("A", "D", "K", "")) + str(rng.randrange(10**6, 10**9)),
        "date_of_birth": lambda: english.date_of_birth().strftime(rng.choice(("%m/%d/%Y", "%Y-%m-%d", "%d %B %Y", "%B %d, %Y"))),
        "organization": english.company, "job": english.job, "nationality": lambda: rng.choice(("Italian", "Peruvian", "Danish", "Malay")),
        "nation_woman": lambda: rng.choice(("Frenchwoman", "Englishwoman")), "nation_plural": lambda: rng.choice(("Germans", "Mexicans")),
        "age": lambda: str(rng.randrange(3, 99)), "year": english.year, "day_of_week": english.day_of_week,
        "date_time": lambda: english.date_time().strftime("%Y-%m-%d %H:%M"),
        "prefix": lambda: rng.choice(("Mr.", "Mrs.", "Dr.")), "prefix_male": lambda: "Mr.",
        "prefix_female": lambda: rng.choice(("Mrs.", "Ms.")),
    }  # fmt: skip


@cache
def _names(locale: str) -> Names:
    return country_names(locale)


def _person(slot: str, rng: random.Random) -> tuple[str, bool]:
    """Return a name, and whether no list was made from its country."""
    unknown = rng.random() < 0.33
    names = _names(rng.choice(LEFT_OUT if unknown else KNOWN_LOCALES))
    first, last = rng.choice(names.first or ["Ada"]), rng.choice(names.last or ["Lind"])
    if slot.startswith("first"):
        return first, unknown
    if slot.startswith("last"):
        return last, unknown
    return (f"{first[0]}. {last}" if rng.random() < 0.05 else f"{first} {last}"), unknown


def _fill(template: str, rng: random.Random, makers: dict[str, Callable[[], str]]) -> Marked:
    """One sentence in ten is written in small letters, as those that others filled are."""
    text, spans, unknown = "", list[Span](), set[Span]()
    for at, piece in enumerate(SLOT.split(template)):
        if at % 2 == 0:
            text += piece
            continue
        is_person = piece.startswith(("person", "name", "first_name", "last_name"))
        value, never_listed = _person(piece, rng) if is_person else (str(makers[piece]()), False)
        kind = "NAME" if is_person else SLOTS.get(piece)
        if kind:
            spans.append(Span(len(text), len(text) + len(value), kind))
            if never_listed:
                unknown.add(spans[-1])
        text += value
    small = text.lower() if rng.random() < 0.1 else text
    return Marked(small if len(small) == len(text) else text, joined(text, spans), frozenset(unknown))


def joined(text: str, spans: list[Span]) -> list[Span]:
    """Join the neighbouring pieces of an address; a place by itself is none."""
    merged: list[tuple[Span, bool]] = []
    for span in sorted(spans):
        is_piece = span.kind in {"ADDRESS", "LOCATION"}
        last = merged[-1][0] if merged else None
        if is_piece and last and last.kind == "ADDRESS" and BETWEEN_PIECES.fullmatch(text[last.end : span.start]):
            merged[-1] = (Span(last.start, span.end, "ADDRESS"), merged[-1][1] or span.kind == "ADDRESS")
        else:
            merged.append((span._replace(kind="ADDRESS"), span.kind == "ADDRESS") if is_piece else (span, True))
    return [span for span, counts in merged if counts]
