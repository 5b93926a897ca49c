"""Names of people and postal addresses in a text, told by a linear model of word lists, shapes and the words around."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from app.domain.masking import Span
from workers.curation.pii.features import ADDRESS, EDGE, NAME, OUTSIDE, SIGNS, TITLES, case_of, features, is_candidate, numbers_near
from workers.curation.pii.words import Known, Word, WordLists

WEIGHTS_FILE = Path(__file__).parent / "weights.json.gz"
KINDS = {NAME: "NAME", ADDRESS: "ADDRESS"}
STREET = re.compile(
    r"(?:stra(?:ß|ss)e|weg|gasse|allee|platz|gata|gatan|v[äe]gen|gränd|gade|vej|veien|straat|laan|dreef|steeg|katu|tie|utca|road)$"
)
COMPANY = re.compile(
    r",? (?:ltd|limited|plc|inc|incorporated|llc|llp|gmbh|corp|corporation|group|holdings|ag|s\.a)\b"
    r"|,? (?:and|&) (?:sons|co|partners|associates)\b",
    re.IGNORECASE,
)
LONGEST_NAME, LONGEST_ADDRESS, POST_CODE = 8, 40, 4
Weights = Mapping[str, tuple[float, float]]


class Tagger:
    """Finds names and addresses; reads its model once."""

    def __init__(self, lists: WordLists, weights: Weights, bias: tuple[float, float]) -> None:
        self._lists, self._weights, self._bias = lists, weights, bias

    @classmethod
    def load(cls) -> Tagger:
        """Read the model that is shipped."""
        model = json.loads(gzip.decompress(WEIGHTS_FILE.read_bytes()))
        name, address = model["bias"]
        return cls(WordLists.load(), {feature: (pair[0], pair[1]) for feature, pair in model["weights"].items()}, (name, address))

    def find(self, text: str, taken: bytes | bytearray = b"") -> list[Span]:
        """Return the names and addresses of a text outside of the letters that are already taken."""
        words = self._lists.split(text)
        tags = self._tag(words, taken)
        found = (span for tag, run in _runs(words, tags) if (span := _span(tag, run)))
        return [span for span in found if span.kind != "NAME" or not _is_company(text, span)]

    def _tag(self, words: Sequence[Word], taken: bytes | bytearray) -> list[int]:
        """Decide word by word from the left: each sees what the one before it was told to be."""
        case, near, before, tags = case_of(words), numbers_near(words), OUTSIDE, []
        for at, word in enumerate(words):
            last = words[at - 1] if at else EDGE
            if is_candidate(word, before, last) and not any(taken[word.start : word.end]):
                before = self._weigh(features(words, at, before, (case, near[at])))
            else:
                before = OUTSIDE
            tags.append(before)
        return tags

    def _weigh(self, seen: list[str]) -> int:
        name, address = self._bias
        weights = self._weights
        for feature in seen:
            pair = weights.get(feature)
            if pair is not None:
                name += pair[0]
                address += pair[1]
        if name <= 0 and address <= 0:
            return OUTSIDE
        return NAME if name >= address else ADDRESS


def _runs(words: Sequence[Word], tags: Sequence[int]) -> Iterator[tuple[int, list[Word]]]:
    """Give neighbouring words of one tag together; a name ends where its line does."""
    run: list[Word] = []
    running = OUTSIDE
    for word, tag in zip(words, tags, strict=True):
        if tag != running or (tag == NAME and (word.shape == "n" or len(run) >= LONGEST_NAME)):
            if run:
                yield running, run
            run, running = [], tag
        if tag != OUTSIDE:
            run.append(word)
    if run:
        yield running, run


def _span(tag: int, run: list[Word]) -> Span | None:
    """Return where a run of words stands, without the signs and titles at its ends; None for what can be no name or address."""
    if len(run) > LONGEST_ADDRESS:
        return None
    while run and (run[0].shape in SIGNS or (tag == NAME and run[0].lower in TITLES)):
        run = run[1:]
    while run and (run[-1].shape in SIGNS or run[-1].lower in {"'s", "’s"}) and not _ends_initial(run):
        run = run[:-1]
    if not run or not (_may_be_name(run) if tag == NAME else _may_be_address(run)):
        return None
    return Span(run[0].start, run[-1].end, KINDS[tag])


def _is_company(text: str, name: Span) -> bool:
    """Tell whether a name is a company's: the word that says so comes after it, or is its last."""
    begins = text.rfind(" ", name.start, name.end)
    return COMPANY.match(text, name.end) is not None or (begins >= 0 and COMPANY.match(text, begins) is not None)


def _may_be_name(run: list[Word]) -> bool:
    """A country or a people by itself is none, unless it is a first name too."""
    if len(run) == 1 and run[0].known & Known.COUNTRY and not run[0].known & Known.FIRST:
        return False
    return any(word.text[0].isalpha() and len(word.text) > 1 for word in run)


def _may_be_address(run: list[Word]) -> bool:
    """A street by itself is called one; whatever else is an address has a number and a word."""
    told = [word for word in run if word.shape[0] in "xX"]
    numbers = [word for word in run if word.shape[0] == "d"]
    if not told:
        return False
    if len(told) > 1 or STREET.search(told[0].lower):
        return True
    # "500 euros" and "ID 123" are none; "Jakobi 69" and "8000 Zürich" are.
    named = told[0].shape == "Xx" and bool(numbers)
    return named and (told[0].start < numbers[0].start or len(numbers[0].text) >= POST_CODE)


def _ends_initial(run: list[Word]) -> bool:
    """Tell whether a run ends in the dot of an initial: a name, unlike a sentence, keeps it."""
    return run[-1].text == "." and len(run) > 1 and run[-2].shape == "X"
