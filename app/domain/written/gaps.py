"""Functions in four languages with a gap in each: code before and after it comes in, what stands in it goes out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from app.domain.fill_in import SYSTEM, question
from app.domain.grammar import fill, sentence
from app.domain.written.rows import Row, Words, row

if TYPE_CHECKING:
    import random

LANGUAGES = ("python", "javascript", "go", "sql")
LIMITS, FEWS = (10, 20, 25, 40, 50, 60, 80, 100, 120, 150, 200, 250, 300, 500), (3, 4, 5, 6, 7, 8)
FEWEST_SIGNS = 8
"""A shorter gap is closed by any editor without a model."""
MOST_LINES = 4
SAID = re.compile(r"^\s*(//|--|#|\"\"\")")
"""Lines of words: what a comment says cannot be told from the code."""
CUT = re.compile(r"(?<=[\s(\[{=.,])(?=\S)")
SHARE_OF_LINES, SHARE_OF_RESTS = 0.35, 0.45
"""How many gaps are a whole line, and how many the rest of one; the others are of several lines."""


class Code(NamedTuple):
    """A piece of code that is about one thing."""

    language: str
    template: str
    names: dict[str, str]


def rows(words: Words, count: int, rng: random.Random) -> list[Row]:
    """Write `count` gaps; each function about each thing is cut open once at most."""
    pieces = [
        (language, template, thing) for language in LANGUAGES for template in words[language] for thing in words["things"]
    ]  # fmt: skip
    rng.shuffle(pieces)
    made = []
    for language, template, thing in pieces[:count]:
        names = names_of(thing, rng)
        made.append(_opened(Code(language, words[language][template], names), _beside(words, language, template, names, rng), rng))
    return made


def most(words: Words) -> int:
    """Return how many rows there are at most."""
    return sum(len(words[language]) for language in LANGUAGES) * len(words["things"])


def names_of(thing: str, rng: random.Random) -> dict[str, str]:
    """Return what each slot is filled with, so that all names of a piece of code agree."""
    one, many, number, number2, text, flag = thing.split()
    if rng.random() < 0.5:  # noqa: PLR2004 - one of two numbers, as likely
        number, number2 = number2, number
    small = {"one": one, "many": many, "number": number, "number2": number2, "text": text, "flag": flag}
    large = {sentence(name): sentence(word) for name, word in small.items()}
    return {**small, **large, "limit": str(rng.choice(LIMITS)), "few": str(rng.choice(FEWS))}


def written(template: str, names: dict[str, str]) -> str:
    """Return a template with its names put in; other words in braces are code."""
    return fill(template, lambda slot: names.get(slot, "{" + slot + "}")).strip()


def _beside(words: Words, language: str, template: str, names: dict[str, str], rng: random.Random) -> str:
    """Return what stands above in the file: mostly one more piece about the same thing."""
    others = [name for name in words[language] if name != template]
    if rng.random() < 0.3:  # noqa: PLR2004 - three in ten stand alone
        return ""
    return written(words[language][rng.choice(others)], names) + "\n\n"


def _opened(code: Code, above: str, rng: random.Random) -> Row:
    text = written(code.template, code.names)
    start, end = gap_in(text, rng)
    return row(SYSTEM, question(above + text[:start], text[end:]), text[start:end])


def gap_in(text: str, rng: random.Random) -> tuple[int, int]:
    """Return where a gap begins and ends: no blanks at its edges, and some code in it."""
    spans = _lines(text)
    found = rng.random()
    if found < SHARE_OF_LINES:
        return rng.choice(spans)
    if found < SHARE_OF_LINES + SHARE_OF_RESTS:
        return _rest(text, rng.choice(spans), rng)
    return _several(spans, rng)


def _lines(text: str) -> list[tuple[int, int]]:
    """Return the lines that may be a gap: of code, and not the first, which says what the rest is about."""
    found, at = [], 0
    for number, line in enumerate(text.split("\n")):
        if number and len(line.strip()) >= FEWEST_SIGNS and not SAID.match(line):
            found.append((at + len(line) - len(line.lstrip()), at + len(line.rstrip())))
        at += len(line) + 1
    return found


def _rest(text: str, span: tuple[int, int], rng: random.Random) -> tuple[int, int]:
    start, end = span
    cuts = [start + cut.start() for cut in CUT.finditer(text[start:end]) if end - start - cut.start() >= FEWEST_SIGNS]
    return (rng.choice(cuts) if cuts else start), end


def _several(spans: list[tuple[int, int]], rng: random.Random) -> tuple[int, int]:
    first = rng.randrange(len(spans))
    last = min(first + rng.randint(1, MOST_LINES - 1), len(spans) - 1)
    return spans[first][0], spans[last][1]
