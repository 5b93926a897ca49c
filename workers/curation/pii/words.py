"""A text as a list of words, each with what word lists know of it: the ground on which names and addresses are told from the rest."""

from __future__ import annotations

import gzip
import re
from collections.abc import Mapping
from enum import IntFlag
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

WORDS_FILE = Path(__file__).parent / "words.txt.gz"
WORD = re.compile(r"['’]s\b|[^\W\d_]+(?:(?:-|['’](?!s\b))[^\W\d_]+)*|\d+[^\W_]*|\n+|[^\w\s]|_+")


class Known(IntFlag):
    """What word lists say of a word in lower case."""

    FIRST = 1
    LAST = 2
    COMMON = 4
    PLACE = 8
    COUNTRY = 16
    USUAL = 32


CAPITAL_INSIDE = re.compile(r"[a-z][A-Z]|^[A-Z]{2,}[a-z]")
BEFORE_A_CAPITAL = frozenset({"Mc", "Mac", "De", "Di", "Da", "Du", "La", "Le", "Lo", "Van", "Von", "Fitz", "Al", "El", "Abu"})
FLAGS = {"f": Known.FIRST, "l": Known.LAST, "w": Known.COMMON, "p": Known.PLACE, "c": Known.COUNTRY, "u": Known.USUAL}
NOTHING = Known(0)
NAMES = Known.FIRST | Known.LAST
CONTRACTED = re.compile(r"[a-z]+(?:n['’]t|['’](?:ll|ve|re|d|m|all|mon|clock|am|know))")
ENDINGS = (
    ("ies", "y"), ("ied", "y"), ("es", ""), ("s", ""), ("ed", ""), ("ed", "e"), ("ing", ""), ("ing", "e"), ("er", ""), ("er", "e"),
    ("ly", ""), ("able", ""), ("able", "e"), ("ness", ""), ("ability", "able"),
    ("ability", "e"), ("ization", "ize"), ("isation", "ise"), ("ation", "e"), ("ists", "y"), ("ism", ""),
)  # fmt: skip
BEGINNINGS = ("un", "re", "non", "pre", "over", "hyper", "multi", "sub", "back", "micro", "auto", "anti", "bio", "inter", "mis")


class Word(NamedTuple):
    """A word of a text: where it stands, how it is written, what is known of it."""

    start: int
    end: int
    text: str
    lower: str
    shape: str
    known: int


class WordLists:
    """What is known of words: people's names, places, and the words of the language."""

    def __init__(self, known: Mapping[str, int]) -> None:
        self._known = known
        # Most words of a text are among a few thousand.
        self.lookup = lru_cache(maxsize=50_000)(self._look_up)

    @classmethod
    def load(cls, file: Path = WORDS_FILE) -> WordLists:
        """Read the lists that are shipped: lines of `flags words …`."""
        known: dict[str, int] = {}
        for line in gzip.decompress(file.read_bytes()).decode().splitlines():
            letters, *words = line.split(" ")
            known.update(dict.fromkeys(words, int(sum((FLAGS[letter] for letter in letters), NOTHING))))
        return cls(known)

    def _look_up(self, word: str) -> int:
        """Return what is known of a word in lower case: of its plural or past also what is known of the plain form."""
        found = self._known.get(word)
        if found is not None:
            return found
        if CONTRACTED.fullmatch(word):
            return int(Known.COMMON)
        if "-" in word:
            parts = [self.lookup(part) for part in word.split("-")]
            return parts[0] | parts[-1] if all(parts) else 0
        plain = next((word.removeprefix(each) for each in BEGINNINGS if word.startswith(each) and len(word) > len(each) + 3), word)
        if plain != word and self._known.get(plain, 0) & Known.COMMON:
            return int(Known.COMMON)
        return int(Known.COMMON) if any(self._is_common(each, *ending) for each in {word, plain} for ending in ENDINGS) else 0

    def _is_common(self, word: str, ending: str, plain: str) -> bool:
        if not word.endswith(ending):
            return False
        stem = word.removesuffix(ending) + plain
        single = stem[:-1] if stem[-1:] == stem[-2:-1] else stem
        return len(single) > 2 and bool((self._known.get(stem, 0) | self._known.get(single, 0)) & Known.COMMON)  # noqa: PLR2004 -- no stem is shorter

    def split(self, text: str) -> list[Word]:
        """Return the words of a text; a line's end counts as a word."""
        return [self.word(match.start(), match[0]) for match in WORD.finditer(text)]

    def word(self, start: int, text: str) -> Word:
        """Return one word with what is known of it."""
        lower = text.lower()
        return Word(start, start + len(text), text, lower, shape_of(text), self.lookup(lower) if text[0].isalpha() else 0)


def shape_of(text: str) -> str:
    """Return how a word is written, in a letter or two."""
    first = text[0]
    if first.isalpha():
        if text.islower():
            return "x"
        if len(text) == 1:
            return "X"
        if text.isupper():
            return "XX"
        return "xX" if first.islower() or _is_of_a_program(text) else "Xx"
    if first.isdigit():
        return f"d{min(len(text), 6)}" if text.isdigit() else "dx"
    return "n" if first == "\n" else "."


def _is_of_a_program(word: str) -> bool:
    """Tell whether a word has capitals inside as variables do, and McKenzie does not."""
    inside = CAPITAL_INSIDE.search(word)
    return inside is not None and word[: inside.end() - 1] not in BEFORE_A_CAPITAL
