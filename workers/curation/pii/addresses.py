"""Postal addresses: the parts that have a form of their own, put together with what the tagger saw between them.

The tagger knows an address by the words before it; a street with its number, a post code with its state and a post office box
are one without any.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from app.domain.masking import Span

STATES = (
    "A[KLRZ]|C[AOT]|D[CE]|FL|GA|HI|I[ADLN]|K[SY]|LA|M[ADEINOST]|N[CDEHJMVY]|O[HKR]|P[AR]|RI|S[CD]|T[NX]|UT|V[AT]|W[AIVY]"
    "|NSW|QLD|VIC|TAS|ACT"
)
KINDS_OF_STREET = (
    "street|st|road|rd|avenue|ave|lane|ln|drive|dr|boulevard|blvd|court|square|sq|terrace|place|parkway|pkwy|highway|hwy|crescent|close"
    "|grove|gardens|mews|row|walk|trail|circle|plaza|alley|way"
)
COMMON_WORDS = (
    "the|a|an|of|in|on|at|to|and|or|my|your|his|her|our|this|that|down|per|by|from|for|with|more|is|are|was|people|minutes?|hours?"
)
UNIT = r"(?:apt|apartment|suite|ste|unit|flat|building|bldg|floor|room|box)\b\.? ?#?\d{1,5}[a-z]?\b"
PARTS = (
    # 12 High Street, 510 6th Ave, 221b baker street
    re.compile(
        rf"(?<![\w.,$€£:-])\d{{1,6}}[a-z]?(?:[-/]\d{{1,5}})?,? (?:[nsew]\.? )?"
        rf"(?:(?!(?:{COMMON_WORDS})\b)[^\W\d_][\w'’.-]{{1,20}} |\d{{1,3}}(?:st|nd|rd|th) ){{1,3}}(?<!\. )"
        rf"(?:{KINDS_OF_STREET})\b\.?(?:,? {UNIT})?",
        re.IGNORECASE,
    ),
    # Hauptstraße 5, Kerkstraat 12a, Storgatan 3
    re.compile(
        r"(?<!\w)[A-ZÄÖÜÅØ][\w.-]{2,30}(?:str(?:\.|a(?:ß|ss)e)|weg|gasse|allee|platz|straat|laan|dreef|steeg|plein|gata|gatan|v[äe]gen|vej|gade"
        r"|katu|tie) \d{1,4} ?[a-z]?(?![\w:.-]\w)"
    ),
    # 12 rue de la Paix
    re.compile(
        r"(?<![\w.,-])\d{1,4}(?: ?(?:bis|ter))?,? (?:rue|avenue|boulevard|place|chemin|all[ée]e|impasse|quai|cours)"
        r"(?: (?:de|du|des|la|le|les)| [dl]['’])* ?[\w'’-]{2,20}(?: [A-ZÀ-Þ][\w'’-]{1,20}){0,2}",
        re.IGNORECASE,
    ),
    # Via Roma 12, Calle Mayor 3, ul. Długa 7
    re.compile(
        r"(?<!\w)(?:via|viale|piazza|corso|strada|contrada|vicolo|calle|c/|avenida|avda\.?|paseo|plaza|rua|travessa|ulica|ul\.|ulice)"
        r"(?: (?:de|del|della|di|da|do|dos|la|las|los|el|san|santa))* [\w'’.-]{2,20}(?: [^\W\d_][\w'’-]{1,20}){0,3},?"
        r" (?:n[.°º]? ?)?\d{1,4}(?![\w:.]\w)",
        re.IGNORECASE,
    ),
    re.compile(r"(?<!\w)(?:Apt|APT|Apartment|Suite|SUITE|Flat|apt\.|suite|apartment)\b\.? ?#?\d{1,5}[A-Za-z]?\b"),
    re.compile(rf"(?:(?<=, )|(?<=\n)|(?<=\w )(?!ID))(?:{STATES}),? \d{{4,5}}(?:-\d{{4}})?(?![\w.])"),
    re.compile(
        r"(?<!\w)(?:GIR ?0AA|[A-PR-UWYZ](?:\d{1,2}|[A-HK-Y]\d{1,2}|\d[A-HJKPSTUW]|[A-HK-Y]\d[ABEHMNPRV-Y]) \d[ABD-HJLNP-UW-Z]{2})(?!\w)"
    ),
    re.compile(
        r"\b(?:p\.? ?o\.? ?box|post office box|postfach|apartado|bo[îi]te postale|casilla)\s?(?:no\.?\s?|#)?\d{1,6}\b", re.IGNORECASE
    ),
)
CALLED = re.compile(
    r"\b(?:zip(?: ?code)?|post(?:al)?[ -]?code|plz|postleitzahl|code postal|c[oó]digo postal)(?:\s(?:is|was)\b|\s?[:=])?\s{1,3}"
    r"(?P<code>(?=[a-z -]{0,4}\d)[a-z0-9]{2,6}(?:[ -](?=[a-z]?\d)[a-z0-9]{2,4})?)\b",
    re.IGNORECASE,
)
DIGIT = re.compile(r"\d")
BETWEEN = re.compile(r"[\s,.>?]{0,12}(?:(?:[A-ZÀ-Þ][\w'’.-]{0,24}|d[eu]|of)[\s,.>?]{1,12}){0,4}")


def find_parts(text: str) -> Iterator[Span]:
    """Give the parts of addresses that are known by their form."""
    if DIGIT.search(text):
        yield from (Span(*match.span("code"), "ADDRESS") for match in CALLED.finditer(text))
        for pattern in PARTS:
            yield from (Span(*match.span(), "ADDRESS") for match in pattern.finditer(text))


def joined(text: str, parts: Iterable[Span]) -> list[Span]:
    """Return whole addresses: parts that overlap, or have no more than a place's name between them, are one."""
    whole: list[Span] = []
    for part in sorted(parts):
        last = whole[-1] if whole else None
        if last and (part.start <= last.end or BETWEEN.fullmatch(text, last.end, part.start)):
            whole[-1] = last._replace(end=max(last.end, part.end))
        else:
            whole.append(part)
    return whole
