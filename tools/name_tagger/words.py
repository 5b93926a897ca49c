"""The word lists of the tagger: first and last names, places, and the words of the language, each from a source that may be shared.

Names: see sources.py. Places: Faker (MIT) and WordNet 3.1 (its own licence, which asks to be named). Words: WordNet.
"""

from __future__ import annotations

import builtins
import gzip
import importlib
import keyword
import re
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from tools.name_tagger.fillers import read_words
from tools.name_tagger.sources import LEFT_OUT, TAUGHT, Names, census, country_names
from tools.starter_model.wordnet import Sense

COMMON_FIRST, COMMON_LAST, KNOWN_LAST, IN_COUNTRIES = 800, 2_000, 25_000, 4
OFTEN, TOO_OFTEN = 4, 40
"""Sentences of the dictionary with a word in small letters that make it no name, unless it is a usual one; and no usual one."""
WORD = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*")
PEOPLE = re.compile(r"native or inhabitant|relating to or characteristic|nationality|a member of the .* people|people living in")
PLACE_LOCALES = ("en_US", "de_DE", "fr_FR", "it_IT", "es_ES", "nl_NL", "pl_PL", "cs_CZ", "hu_HU", "fi_FI", "hr_HR", "no_NO")
BRANDS = ("product", "company", "business", "legal", "tongue", "language", "term")
FUNCTION_WORDS = (
    "a an the and or but if of at by for with about to from in on off over under again then once here there when where why how all any both"
    " each few more most other some such no nor not only own same so than too very can will just don should now i me my myself we our ours"
    " you your yours he him his she her hers it its they them their theirs what which who whom this that these those am is are was were be"
    " been being have has had having do does did doing would could ought im ive dont cant wont didnt doesnt isnt hi hello hey dear thanks"
    " thank please pls thx ok okay yes no sorry regards cheers sincerely bye lol omg wow oh well let lets got get getting going went gone"
    " said says made makes took sent paid kept told left lost bought brought thought felt met gave given seen knew known came since until"
    " because although while during before after between among through without within against upon per via into onto etc vs email online"
    " website app login password username internet blog phone mobile tel fax zip url id atm sim usb wifi pdf html http https www com org"
    " monday tuesday wednesday thursday friday saturday sunday january february march april may june july august september october"
    " november december mon tue wed thu fri sat sun jan feb mar apr jun jul aug sep sept oct nov dec mr mrs ms miss dr prof sir madam"
)


def build(senses: list[Sense]) -> dict[str, str]:
    """Return for each word in lower case the letters of what is known of it: f, l, w, p, c, u."""
    often = Counter(word for sense in senses for example in sense.examples for word in WORD.findall(example) if word.islower())
    usual = {name for name in _usual_first_names() if often[name] < TOO_OFTEN}
    lists = {
        "f": _names(often, "first", COMMON_FIRST),
        "l": _names(often, "last", COMMON_LAST),
        "u": usual,
        "w": _words(senses, often) | (_named_things(senses) - usual),
        "p": _places(senses),
        "c": _countries(senses),
    }
    known: dict[str, str] = defaultdict(str)
    for letter, words in lists.items():
        for word in words:
            known[word] += letter
    return known


def _names(often: Counter[str], part: str, sure: int) -> set[str]:
    """Return names that are not everyday words, nor only of the countries left out; the most usual ones in any case."""
    counted = census()
    taught = {part: [*getattr(counted, part)[:KNOWN_LAST]] for part in Names._fields}
    for locale in TAUGHT:
        for each in Names._fields:
            taught[each] += getattr(country_names(locale), each)
    usual = {name.lower() for name in getattr(counted, part)[:sure]}
    listed = {word.lower() for name in taught[part] for word in WORD.findall(name) if len(word) > 1}
    whole = {name.lower() for names in taught.values() for name in names}
    foreign = {name.lower() for locale in LEFT_OUT for names in country_names(locale) for name in names} - whole
    return {name for name in listed - foreign if name in usual or often[name] < OFTEN}


def _usual_first_names() -> set[str]:
    """Return first names that many people have: in the census, or in several countries."""
    countries = Counter(name.lower() for locale in TAUGHT for name in country_names(locale).first)
    return {name.lower() for name in census().first[:COMMON_FIRST]} | {name for name, count in countries.items() if count >= IN_COUNTRIES}


def _words(senses: list[Sense], often: Counter[str]) -> set[str]:
    """Return the words of the language: those that the dictionary has, and those that it uses more than once."""
    terms = {word for sense in senses for term in sense.words for word in WORD.findall(term) if word.islower() and len(word) > 1}
    glosses = Counter(word for sense in senses for word in WORD.findall(sense.gloss) if word.islower())
    return terms | {word for counts in (often, glosses) for word, count in counts.items() if count > 1} | set(FUNCTION_WORDS.split())


def _named_things(senses: list[Sense]) -> set[str]:
    """Return words with a capital that are no person: of the dictionary, of programs, and the brands of the templates."""
    slots = read_words()
    brands = {word.lower() for slot in BRANDS for term in slots[slot] for word in WORD.findall(term)}
    programs = {name.strip("_").lower() for name in (*keyword.kwlist, *dir(builtins), *dir(str), *dir(list), *sys.stdlib_module_names)}
    things = {word.lower() for sense in senses if sense.is_name and sense.topic not in {"person", "place"} for word in sense.words}
    return {word for word in brands | programs | things if WORD.fullmatch(word)}


def _places(senses: list[Sense]) -> set[str]:
    """Single words only: of "New York", neither "new" nor "york" is a place by itself."""
    named = {term for sense in senses if sense.topic == "place" and sense.is_name for term in sense.words}
    for locale in PLACE_LOCALES:
        provider: Any = importlib.import_module(f"faker.providers.address.{locale}").Provider
        named |= {str(city) for city in getattr(provider, "cities", ()) or ()}
    return {place.lower() for place in named if WORD.fullmatch(place)}


def _countries(senses: list[Sense]) -> set[str]:
    provider: Any = importlib.import_module("faker.providers.address.en").Provider
    peoples = {word for sense in senses if sense.is_name and PEOPLE.search(sense.gloss) for word in sense.words}
    return {word.lower() for word in (*provider.countries, *peoples, *read_words()["nationality"]) if WORD.fullmatch(word)}


def write(known: dict[str, str], file: Path) -> None:
    """Write the lists as the workers read them, the same bytes for the same words."""
    by_letters: dict[str, list[str]] = defaultdict(list)
    for word, letters in sorted(known.items()):
        by_letters[letters].append(word)
    lines = (" ".join([letters, *words]) for letters, words in sorted(by_letters.items()))
    file.write_bytes(gzip.compress("\n".join(lines).encode(), 9, mtime=0))
