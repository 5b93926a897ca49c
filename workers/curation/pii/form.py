"""Personal data that its form alone gives away: addresses of mail, pages and computers, and numbers with a checksum."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from stdnum import bitcoin, iban, luhn
from stdnum.es import nie, nif
from stdnum.fi import hetu
from stdnum.gb import nhs
from stdnum.in_ import aadhaar, pan
from stdnum.it import codicefiscale
from stdnum.us import itin, ssn

from app.domain.masking import Span

EMAIL = re.compile(r"(?<![\w.+%-])[\w.+%-]{1,64}@(?:[^\W_](?:[\w-]{0,62})\.){1,8}[^\W\d_]{2,24}(?![\w@])")
URL = re.compile(r"(?<![\w@])(?:(?:https?|ftp)://|www\.(?=[^\s.]+\.))[^\s<>\"'`|\\^{}\[\]]+", re.IGNORECASE)
URL_END = ".,;:!?)*_…"
IPV4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.]*\d|\.\w)")
IPV6 = re.compile(r"(?<![\w:.])(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{0,4}(?![\w:])", re.IGNORECASE)
MAC = re.compile(r"(?<![\w:-])[0-9a-f]{2}(?:([:-])[0-9a-f]{2})(?:\1[0-9a-f]{2}){4}(?![\w:-])", re.IGNORECASE)
IBAN = re.compile(r"(?<![\w])[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]){10,32}(?![A-Za-z0-9])", re.IGNORECASE)
CARD = re.compile(r"(?<![\w.+-])[2-6]\d{3}(?:[ -]?\d){8,15}(?![\w-]|\.\d)")
CARD_LENGTHS = {"3": {14, 15, 16}, "4": {13, 16, 19}, "5": {16}, "6": {16, 19}, "2": {16}}
# A run of zeros passes Luhn too.
LEAST_DIGITS = 2
# With two, a time of day is one too.
LEAST_COLONS = 3
ENOUGH_DIGITS = re.compile(r"\d(?:\D{0,4}\d){3}")
SEPARATORS = re.compile(r"[ .-]")


class Form(NamedTuple):
    """A national number: how it is written, and what tells a true one."""

    pattern: re.Pattern[str]
    is_valid: Callable[[str], bool]


def _nino(number: str) -> bool:
    """Tell whether the prefix of a National Insurance number was ever given out."""
    return number[:2].upper() not in {"BG", "GB", "KN", "NK", "NT", "TN", "ZZ"}


def _nric(number: str) -> bool:
    """Tell whether the last letter of a Singapore identity number agrees with its digits."""
    first, digits, last = number[0].upper(), number[1:8], number[8].upper()
    total = sum(int(digit) * weight for digit, weight in zip(digits, (2, 7, 6, 5, 4, 3, 2), strict=True)) + (4 if first in "TG" else 0)
    return last == ("JZIHGFEDCBA" if first in "ST" else "XWUTRQPNMLK")[total % 11]


def _pan(number: str) -> bool:
    return bool(pan.is_valid(number))


NATIONAL = (
    Form(re.compile(r"(?<![\w.-])\d{3}([- ])\d{2}\1\d{4}(?![\w-]|\.\d)"), lambda number: ssn.is_valid(number) or itin.is_valid(number)),
    Form(re.compile(r"(?<!\w)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D](?!\w)"), _nino),
    Form(re.compile(r"(?<!\w)[STFG]\d{7}[A-Z](?!\w)"), _nric),
    Form(re.compile(r"(?<!\w)[A-Z]{3}[ABCFGHJLPT][A-Z]\d{4}[A-Z](?!\w)"), _pan),
    Form(re.compile(r"(?<!\w)(?:[XYZ]-?\d{7}|\d{8})-?[A-HJ-NP-TV-Z](?!\w)"), lambda number: nif.is_valid(number) or nie.is_valid(number)),
    Form(re.compile(r"(?<!\w)[A-Z]{6}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z](?!\w)", re.IGNORECASE), codicefiscale.is_valid),
    Form(re.compile(r"(?<!\w)\d{6}[-+A]\d{3}[0-9A-Y](?!\w)"), hetu.is_valid),
    Form(re.compile(r"(?<![\w.+-])\d{4} \d{4} \d{4}(?![\w-]|[ .]\d)"), aadhaar.is_valid),
    Form(re.compile(r"(?<![\w.+-])\d{3} \d{3} \d{4}(?![\w-]|[ .]\d)"), nhs.is_valid),
    Form(re.compile(r"(?<!\w)(?:[13][1-9A-HJ-NP-Za-km-z]{25,34}|bc1[ac-hj-np-z02-9]{25,60})(?!\w)"), bitcoin.is_valid),
    Form(re.compile(r"(?<!\w)0x[0-9a-fA-F]{40}(?!\w)"), lambda _: True),
)


def find_by_form(text: str) -> Iterator[Span]:
    """Give what needs no word beside it to be known; spans may overlap, the surer one first."""
    if "@" in text:
        yield from (Span(*match.span(), "EMAIL") for match in EMAIL.finditer(text))
    if "://" in text or "www." in text.lower():
        yield from _pages(text)
    if ENOUGH_DIGITS.search(text):
        yield from _numbers(text)
    elif ":" in text:
        yield from _computers(text)


def _pages(text: str) -> Iterator[Span]:
    for match in URL.finditer(text):
        page = match[0].rstrip(URL_END)
        yield Span(match.start(), match.start() + len(page), "URL")


def _numbers(text: str) -> Iterator[Span]:
    yield from (Span(*match.span(), "IBAN") for match in _ibans(text))
    yield from (Span(*match.span(), "CARD") for match in CARD.finditer(text) if is_card(match[0]))
    yield from _computers(text)
    for form in NATIONAL:
        yield from (Span(*match.span(), "ID") for match in form.pattern.finditer(text) if form.is_valid(match[0]))


def _ibans(text: str) -> Iterator[re.Match[str]]:
    """A match may run on into the words after it, so shorter ends are tried too."""
    at = 0
    while match := IBAN.search(text, at):
        at = match.start() + 1
        for end in range(match.end(), match.start() + 14, -1):
            exact = IBAN.fullmatch(text, match.start(), end)
            if exact and not text[end : end + 1].isalnum() and iban.is_valid(exact[0]):
                yield exact
                at = end
                break


def _computers(text: str) -> Iterator[Span]:
    yield from (Span(*match.span(), "IP") for match in IPV4.finditer(text) if _is_address(match[0]))
    if text.count(":") > 1:
        yield from (
            Span(*match.span(), "IP") for match in IPV6.finditer(text) if _is_address(match[0]) and match[0].count(":") >= LEAST_COLONS
        )
        yield from (Span(*match.span(), "IP") for match in MAC.finditer(text))


def _is_address(text: str) -> bool:
    """Tell whether it leads to a computer somewhere: not to this one, and to nothing."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return not (address.is_loopback or address.is_unspecified)


def is_card(text: str) -> bool:
    """Tell whether the digits are a payment card's: of a length its first digit allows, with the right last digit."""
    digits = SEPARATORS.sub("", text)
    return len(digits) in CARD_LENGTHS[digits[0]] and len(set(digits)) >= LEAST_DIGITS and bool(luhn.is_valid(digits))
