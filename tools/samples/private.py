"""Personal data that belongs to nobody: reserved telephone numbers and hosts, and published example accounts."""

from __future__ import annotations

import random
import unicodedata

from app.domain.grammar import lists
from tools.samples.grammar import read

LETTERS_OF_A_COUNTRY = 4
"""Two letters and two check digits, which the check moves to the end."""


def plain(name: str) -> str:
    """Return a name in small ASCII letters, as addresses have it."""
    folded = unicodedata.normalize("NFKD", name.lower()).encode("ascii", "ignore").decode()
    return "".join(letter for letter in folded if letter.isalpha())


def email(first: str, last: str, rng: random.Random) -> str:
    """Return an address on a host that is reserved for examples."""
    one, two = plain(first), plain(last)
    local = rng.choice([f"{one}.{two}", f"{one}{rng.randint(2, 99)}", f"{one[0]}.{two}", f"{one}_{two}"])
    return f"{local}@{rng.choice(lists(read('private')['mail'])['host'])}"


def phone(rng: random.Random) -> str:
    """Return a number of the range kept for fiction, 555-0100 to 555-0199."""
    area, line = rng.choice([202, 212, 303, 415, 512, 617, 646, 718]), rng.randint(100, 199)
    return rng.choice([f"({area}) 555-0{line}", f"+1 {area} 555 0{line}", f"{area}-555-0{line}", f"555-0{line}"])


def has_valid_iban_checksum(iban: str) -> bool:
    """Check an account number by ISO 13616: moved around and read in base 36, it is 1 modulo 97."""
    signs = iban.replace(" ", "")
    turned = signs[LETTERS_OF_A_COUNTRY:] + signs[:LETTERS_OF_A_COUNTRY]
    return int("".join(str(int(sign, 36)) for sign in turned)) % 97 == 1


def has_valid_card_checksum(card: str) -> bool:
    """Check a card's number by Luhn: every second digit doubled from the right, the sum ends in nought."""
    digits = [int(sign) for sign in card.replace(" ", "")][::-1]
    return sum(digit if at % 2 == 0 else sum(divmod(2 * digit, 10)) for at, digit in enumerate(digits)) % 10 == 0
