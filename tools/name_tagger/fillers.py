"""What the slots of the training templates are filled with: made-up people, addresses, companies and things."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from faker import Faker

from tools.name_tagger.sources import TAUGHT, Names, census, country_names

WORDS = Path(__file__).parent / "templates" / "words.txt"
ADDRESS_LOCALES = (
    *("en_US",) * 3, *("en_GB",) * 2, "en_AU", "en_CA", "en_IN", "de_DE", "de_AT", "de_CH", "fr_FR", "nl_NL", "nl_BE", "it_IT", "es_ES",
    "pl_PL", "pt_BR", "sv_SE", "da_DK", "no_NO", "fi_FI", "hu_HU", "cs_CZ", "hr_HR",
)  # fmt: skip
NUMBER_FIRST = frozenset({"en_US", "en_GB", "en_AU", "en_CA", "fr_FR", "en_IN"})
CODE_LOCALES = ("en_US", "en_US", "en_GB", "de_DE", "nl_NL", "pl_PL", "en_CA")
PHONE_LOCALES = ("en_US", "en_GB", "de_DE", "fr_FR")
PARTICLES = ("van", "van der", "de", "von", "de la", "bin", "al", "da", "di", "le", "ter", "dos")
INITIALS = "ABCDEFGHJKLMNPRSTVW"
FROM_CENSUS, HIDDEN, DOUBLED = 0.35, 0.35, 0.03
"""How many names come from the census, are to be unknown to every list, or have two first names."""
AS_USUAL_THERE = 0.4
"""How many addresses are written as their country writes them; the others have more or fewer parts, in any order."""


class Filled(NamedTuple):
    """What stands in a slot, and whether word lists are to know nothing of it."""

    text: str
    hidden: bool = False


def read_words() -> dict[str, list[str]]:
    """Return what may stand in the slots that a list fills."""
    found = defaultdict[str, list[str]](list)
    for line in WORDS.read_text(encoding="utf-8").splitlines():
        slot, _, words = line.partition(": ")
        found[slot] += words.split("|") if "|" in words else words.split()
    return found


class Fillers:
    """Makes fillings of every kind from one source of chance."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._census = census()
        usual = Names(self._census.first[:1500], self._census.last[:6000])
        self._names = [usual, *(names for locale in TAUGHT if all(names := country_names(locale)))]
        self._fakers: dict[str, Any] = {locale: Faker(locale) for locale in dict.fromkeys(ADDRESS_LOCALES)}
        for faker in self._fakers.values():
            faker.seed_instance(rng.randrange(2**31))
        self._words = read_words()
        self._makers: dict[str, Callable[[], str]] = {
            "city": self.city, "country": self._fakers["en_US"].country, "org": self.company, "zip": self.post_code, "street": self.street,
            "address": self.address, "phone": self.phone, "email": self._fakers["en_US"].email, "date": self._fakers["en_GB"].date,
            "formula": self.formula, "code": self.code, "number": lambda: str(rng.randrange(100, 10 ** rng.randrange(4, 9))),
            "small": lambda: self._number(1, 30), "age": lambda: self._number(3, 95), "year": lambda: self._number(1900, 2030),
            "daynumber": lambda: self._number(1, 31), "housenumber": lambda: self._number(1, 400),
            "amount": lambda: f"{rng.randrange(1, 5000):,}{rng.choice(('', '.99', '.50'))}",
        }  # fmt: skip

    def pick(self, slot: str) -> str:
        """Return a filling for a slot that is nobody's name."""
        maker = self._makers.get(slot)
        return maker() if maker else self._rng.choice(self._words[slot])

    def person(self, slot: str) -> Filled:
        """Return a name, one in three of the kind that no list knows."""
        names = self._names[0] if self._chance(FROM_CENSUS) else self._rng.choice(self._names)
        first, last = self._rng.choice(names.first), self._rng.choice(names.last)
        hidden = self._chance(HIDDEN)
        if slot == "first":
            return Filled(f"{first}-{self._rng.choice(names.first)}" if self._chance(DOUBLED) else first, hidden)
        last = self._last(last, names)
        written = {"last": last, "lastfirst": f"{last}, {first}"}
        return Filled(written.get(slot) or self._whole(first, last), hidden)

    def _last(self, last: str, names: Names) -> str:
        forms = (last, f"{last}-{self._rng.choice(names.last)}", f"{self._rng.choice(PARTICLES)} {last}", f"O'{last}")
        return self._weighed(forms, (91, 4, 4, 1))

    def _whole(self, first: str, last: str) -> str:
        letter = self._rng.choice(INITIALS)
        return self._weighed((f"{first} {last}", f"{letter}. {last}", f"{first} {letter}. {last}", first), (78, 6, 6, 10))

    def city(self) -> str:
        """Return a place of some country."""
        return str(self._somewhere().city())

    def company(self) -> str:
        """Return the name of a company: a known one, a made-up one, or one that is called after people."""
        one, two, three = (self._rng.choice(self._census.last[:4000]) for _ in range(3))
        trade, business, legal = (self.pick(slot) for slot in ("trade", "business", "legal"))
        made = (
            self.pick("company"), f"{trade} {business}", f"{one} {business}", f"{one} {legal}", f"{one}-{two}", f"{one}, {two} and {three}",
            f"{one} & {two}", f"{trade} {business} {legal}",
            f"{trade}{business.lower()}",
        )  # fmt: skip
        return self._rng.choice(made)

    def post_code(self) -> str:
        """Return a postal code."""
        return str(self._fakers[self._rng.choice(CODE_LOCALES)].postcode())

    def street(self) -> str:
        """Return a street without a number."""
        if self._chance(0.2):
            return f"{self._rng.choice(self._census.last[:6000])} {self.pick('streetkind')}"
        return str(self._somewhere().street_name())

    def address(self) -> str:
        """Return an address in one line or several, with more or less of its parts."""
        rng, locale = self._rng, self._rng.choice(ADDRESS_LOCALES)
        faker = self._fakers[locale]
        if self._chance(AS_USUAL_THERE):
            return str(faker.address()).replace("\n", rng.choice(("\n", ", ", " ")))
        number = str(faker.building_number()) if self._chance(0.8) else self._number(1, 300)
        street = self.street() if locale.startswith("en") else str(faker.street_name())
        line = f"{number} {street}" if locale in NUMBER_FIRST or self._chance(0.15) else f"{street} {number}"
        if self._chance(0.3):
            line += f"{rng.choice((' ', ', ', chr(10)))}{self.pick('unitkind')} {self._number(1, 999)}"
        parts = [line, *self._rest(faker)] if self._chance(0.75) else [line]
        return rng.choice((", ", ", ", "\n", " ", "\n  ")).join(parts)

    def _rest(self, faker: Any) -> Sequence[str]:
        code, city = str(faker.postcode()), str(faker.city())
        state, country = self._fakers["en_US"].state_abbr(), self._fakers["en_US"].country()
        ways: tuple[tuple[str, ...], ...] = (
            (f"{city}, {state} {code}",), (f"{code} {city}",), (city, code), (city,), (city, f"{country} {code}"),
            (f"{code} {city}", country), (f"{city} {country}",), (city, state, code),
        )  # fmt: skip
        return self._rng.choice(ways)

    def phone(self) -> str:
        """Return a telephone number."""
        return str(self._fakers[self._rng.choice(PHONE_LOCALES)].phone_number())

    def formula(self) -> str:
        """Return some arithmetic or chemistry."""
        rng = self._rng
        one, two, three = (str(rng.randrange(1, 10 ** rng.randrange(1, 6))) for _ in range(3))
        ways = (
            f"{one} {rng.choice('+-*/×')} {two} = {three}", f"{one}/{two}", f"{one}.{two}", f"x^2 + {one}x = {two}",
            f"{one}, {two}, {three}", f"{one} x {two}", f"({one} - {two}) / {three}", *(self.pick("compound") for _ in range(4)),
        )  # fmt: skip
        return rng.choice(ways)

    def code(self) -> str:
        """Return a piece of a program."""
        rng, one, two = self._rng, self.pick("variable"), self.pick("variable")
        number = self._number(0, 500)
        ways = (
            f"{one}_{two}", f"{one}{two.capitalize()}", f"{one.capitalize()}{two.capitalize()}", f"{one}.{two}", f"{one}.{two}()",
            f"{one}[{number}]", f"{one}{number}", f"int {one} = {number};", f"const {one} = {two}.{one}({number});",
            f"{one.upper()}_{two.upper()}", f'"{one}": {number}.{number}', f"def {one}({two}):", f"return {one} + {two}",
            f"import {one} as {two}", f"<{one}>{number}</{one}>",
        )  # fmt: skip
        return rng.choice(ways)

    def _somewhere(self) -> Any:
        return self._fakers[self._rng.choice(ADDRESS_LOCALES)]

    def _number(self, least: int, below: int) -> str:
        return str(self._rng.randrange(least, below))

    def _chance(self, share: float) -> bool:
        return self._rng.random() < share

    def _weighed(self, ways: Sequence[str], weights: Sequence[int]) -> str:
        return self._rng.choices(ways, weights)[0]
