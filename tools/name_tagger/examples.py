"""Training sentences: templates filled and written as people write, with the tag of every word; and sentences without anybody in them."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tools.name_tagger.fillers import Fillers
from tools.starter_model.wordnet import Sense
from workers.curation.pii.features import ADDRESS, NAME, OUTSIDE
from workers.curation.pii.words import NAMES, Known, Word, WordLists

TEMPLATES = Path(__file__).parent / "templates"
KINDS = ("people", "places", "others")
SLOT = re.compile(r"\{([a-z]+)\}")
PEOPLE = frozenset({"name", "first", "last", "lastfirst"})
PLACES = frozenset({"address", "street", "zip"})
SOMEBODY = re.compile(
    r"\b(?:[Hh]e|[Ss]he|him|(?:[Tt]he|[Aa]) (?:man|woman|boy|girl|teacher|doctor|child|student|lawyer|prisoner|soldier|president))\b"
)
"""Who a sentence of the dictionary is about, where a name could stand."""
NAMED = (
    "{first}", "{first}", "{name}", "{name}", "{last}", "{title} {last}", "{title} {name}", "{last} and {last}", "{first} and {first}",
)  # fmt: skip
ENDS = (".", ".", ".", "!", "?", "")
WAYS = {"small": 18, "capitals": 4, "names small": 5, "names in capitals": 3, "no stop": 10, "as it is": 60}
"""How people write, and how often."""
MISTYPED, RUN_TOGETHER, FOLLOWED = 0.2, 0.2, 0.25
HEADING, SENTENCE, AS_QUOTED = 12, 73, 15
SMALL_WORD = 3


class Part(NamedTuple):
    """A stretch of a sentence with one tag; `hidden` when word lists are to know nothing of it."""

    text: str
    tag: int
    hidden: bool = False


class Example(NamedTuple):
    """The words of a sentence and the tag of each."""

    words: list[Word]
    tags: list[int]


def read_templates(name: str) -> list[str]:
    """Return the templates of a file, one a line."""
    lines = (TEMPLATES / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return [line.replace("\\n", "\n") for line in lines if line]


def fill(template: str, fillers: Fillers) -> list[Part]:
    """Return a template's parts with every slot filled."""
    parts: list[Part] = []
    for at, piece in enumerate(SLOT.split(template)):
        if at % 2 == 0:
            parts.append(Part(piece, OUTSIDE))
        elif piece in PEOPLE:
            filled = fillers.person(piece)
            parts.append(Part(filled.text, NAME, filled.hidden))
        else:
            parts.append(Part(fillers.pick(piece), ADDRESS if piece in PLACES else OUTSIDE))
    return [part for part in parts if part.text]


def written(parts: list[Part], rng: random.Random) -> list[Part]:
    """Return the parts as some people write: with slips of the fingers, in small letters, in capitals, without a full stop."""
    if rng.random() < MISTYPED:
        parts = [part if part.tag else part._replace(text=mistyped(part.text, rng)) for part in parts]
    way = rng.choices(list(WAYS), list(WAYS.values()))[0]
    if way == "no stop":
        return [*parts[:-1], parts[-1]._replace(text=parts[-1].text.rstrip(".!") if not parts[-1].tag else parts[-1].text)]
    change = {"small": str.lower, "names small": str.lower, "capitals": str.upper, "names in capitals": str.upper}.get(way, str)
    return [part._replace(text=change(part.text)) if part.tag or not way.startswith("names") else part for part in parts]


def mistyped(text: str, rng: random.Random) -> str:
    """Return a text as fingers slip: letters swapped, lost, doubled or put in, and spaces forgotten."""
    words = text.split(" ")
    for at in rng.sample(range(len(words)), min(len(words), rng.randrange(1, 4))):
        word = words[at]
        if len(word) < SMALL_WORD or not word.isalpha() or not word.islower():
            continue
        here = rng.randrange(1, len(word) - 1)
        before, letter, after = word[:here], word[here], word[here + 1 :]
        words[at] = rng.choice(
            (before + after[:1] + letter + after[1:], before + after, before + letter + letter + after, before + "e" + letter + after)
        )
        if rng.random() < RUN_TOGETHER and at + 1 < len(words) and words[at + 1].isalpha():
            words[at + 1] = word + words[at + 1]
            words[at] = ""
    return re.sub(r"(?<=\S)  (?=\S)", " ", " ".join(words))


def example(parts: list[Part], lists: WordLists) -> Example:
    """Return the words of the parts with their tags."""
    words = lists.split("".join(part.text for part in parts))
    tags, at, end = list[int](), 0, len(parts[0].text)
    for index, word in enumerate(words):
        while word.start >= end:
            at += 1
            end += len(parts[at].text)
        is_ending = word.lower in {"'s", "’s"} and parts[at].tag == NAME
        tags.append(OUTSIDE if is_ending else parts[at].tag)
        if parts[at].hidden:
            words[index] = word._replace(known=0)
    return Example(words, tags)


def examples(lists: WordLists, senses: list[Sense], *, seed: int, per_template: int, plain: int) -> Iterator[Example]:
    """Give filled templates, and up to `plain` sentences of the dictionary without and as many with somebody in them."""
    rng = random.Random(seed)  # noqa: S311 -- chance for sentences, not for secrets
    fillers = Fillers(rng)
    templates = {kind: read_templates(kind) for kind in KINDS}
    for template in [each for kind in (*KINDS, "places") for each in templates[kind] * per_template]:
        parts = fill(template, fillers)
        if rng.random() < FOLLOWED:
            second = rng.choice(templates[rng.choice(("people", "others", "others"))])
            parts = [*parts, Part(rng.choice((" ", "\n", "\n\n")), OUTSIDE), *fill(second, fillers)]
        yield example(written(parts, rng), lists)
    sentences = [each for sense in senses for each in sense.examples if _is_nobody(each, lists)]
    for sentence in rng.sample(sentences, min(plain, len(sentences))):
        yield example(written([Part(_restyled(sentence, rng), OUTSIDE)], rng), lists)
    told = [each for each in sentences if SOMEBODY.search(each)]
    for sentence in rng.sample(told, min(plain, len(told))):
        yield example(written(fill(_named(sentence, rng), fillers), rng), lists)


def _named(sentence: str, rng: random.Random) -> str:
    """Return a sentence of the dictionary about he, she or him as one about somebody with a name."""
    named = SOMEBODY.sub(rng.choice(NAMED), sentence, count=1)
    return named[:1].upper() + named[1:] + rng.choice(ENDS)


def _restyled(sentence: str, rng: random.Random) -> str:
    """Most sentences begin with a capital; headings have many."""
    heading = " ".join(word.capitalize() if len(word) > SMALL_WORD else word for word in sentence.split(" "))
    begun = sentence[:1].upper() + sentence[1:] + rng.choice(ENDS)
    return rng.choices((heading, begun, sentence), (HEADING, SENTENCE, AS_QUOTED))[0]


def _is_nobody(sentence: str, lists: WordLists) -> bool:
    """Tell whether no word of a sentence may be somebody's name: a capital inside it that is not a place's."""
    first, *inside = lists.split(sentence)
    capital = [word for word in inside if word.shape not in {"x", ".", "n"} and word.lower != "i"]
    harmless = Known.PLACE | Known.COUNTRY | Known.COMMON
    return not any(not word.known & harmless or word.known & NAMES for word in capital) and (
        first.shape == "x" or bool(first.known & Known.COMMON and not first.known & Known.FIRST)
    )
