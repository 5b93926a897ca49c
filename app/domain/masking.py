"""Personal data in a row and the masks that stand for it: one mask for one value throughout the row, undone only with the map.

Two texts of a row that name the same person must show the same mask, or a model learns that they are strangers. A value is
known again when it differs only in case, spacing or punctuation, and a part of a name when just one fuller name of the row
has it. The map gives such a value back in its fullest spelling; the texts themselves stay in the dataset's earlier version.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

KINDS = {
    "NAME": "a person's name",
    "EMAIL": "an e-mail address",
    "PHONE": "a phone number",
    "ADDRESS": "a postal address",
    "DATE_OF_BIRTH": "a date of birth",
    "ID": "a number that identifies a person or an account",
    "CARD": "a payment card",
    "IBAN": "a bank account",
    "IP": "the address of a computer",
    "USERNAME": "a user name",
    "SECRET": "a password, key or token",
    "URL": "a web address",
}
"""What can be masked, in words for people."""
MASKED_UNASKED = frozenset(KINDS) - {"URL"}
"""What is masked unless a person chooses: a link to a page is mostly what an answer is about."""
STANDING_MASK = re.compile(r"\[[A-Z]+(?:_[A-Z]+)*(?:_\d+)?\]")
_NOT_WORD, _NOT_DIGIT = re.compile(r"[\W_]+"), re.compile(r"[\s().\-/]+")


class Span(NamedTuple):
    """A part of a text, from `start` up to but without `end`, that is personal data of a kind."""

    start: int
    end: int
    kind: str


def mask(texts: Sequence[str], spans: Sequence[Sequence[Span]]) -> tuple[list[str], dict[str, str]]:
    """Return a row's texts with a mask in place of each span, and what each mask stands for."""
    kept = [_maskable(text, found) for text, found in zip(texts, spans, strict=True)]
    masks, meaning = _named(texts, kept)
    return [_replace(text, found, masks) for text, found in zip(texts, kept, strict=True)], meaning


def spellings(texts: Sequence[str], spans: Sequence[Sequence[Span]]) -> dict[str, str]:
    """Return the mask of each spelling that a row's spans have."""
    masks, _ = _named(texts, [_maskable(text, found) for text, found in zip(texts, spans, strict=True)])
    return {spelling: name for named in masks.values() for spelling, name in named.items()}


def _named(texts: Sequence[str], kept: Sequence[Sequence[Span]]) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    """Return kind → spelling → mask, and what each mask stands for."""
    values = defaultdict[str, list[str]](list)
    for text, found in zip(texts, kept, strict=True):
        for span in found:
            values[span.kind].append(text[span.start : span.end])
    standing = {mark for text in texts for mark in STANDING_MASK.findall(text)}
    masks = dict[str, dict[str, str]]()
    meaning = dict[str, str]()
    for kind, spelt in values.items():
        fullest = _same_values(kind, spelt)
        named = _name_values(kind, list(dict.fromkeys(fullest.values())), standing)
        masks[kind] = {spelling: named[value] for spelling, value in fullest.items()}
        meaning.update({name: value for value, name in named.items()})
    return masks, meaning


def unmask(text: str, meaning: Mapping[str, str]) -> str:
    """Return the text with each mask of the map replaced by what it stands for; other brackets stay."""
    return STANDING_MASK.sub(lambda mark: meaning.get(mark[0], mark[0]), text)


def _maskable(text: str, spans: Sequence[Span]) -> list[Span]:
    """Return the spans in order, without empty ones, those that overlap an earlier one and those that touch a mask already there."""
    taken = [mark.span() for mark in STANDING_MASK.finditer(text)] if "[" in text else []
    kept: list[Span] = []
    for span in sorted(spans):
        free = not kept or span.start >= kept[-1].end
        if span.start < span.end and free and not any(start < span.end and span.start < end for start, end in taken):
            kept.append(span)
    return kept


def _same_values(kind: str, spelt: list[str]) -> dict[str, str]:
    """Return for each spelling the one that its value is known by."""
    known: dict[str, str] = {}
    for spelling in spelt:
        known.setdefault(_key(kind, spelling), spelling)
    fuller = _fuller_names(list(known)) if kind == "NAME" else {}
    return {spelling: known[fuller.get(key, key)] for spelling in spelt for key in [_key(kind, spelling)]}


def _key(kind: str, value: str) -> str:
    """Return what two spellings of one value have in common."""
    if kind in {"SECRET", "URL", "USERNAME"}:
        return value
    if kind in {"NAME", "ADDRESS", "DATE_OF_BIRTH"}:
        return _NOT_WORD.sub(" ", value).strip().casefold() or value
    return _NOT_DIGIT.sub("", value).casefold() or value


def _fuller_names(names: list[str]) -> dict[str, str]:
    """Return for each name that is the first or last word of just one longer name of the row that longer name."""
    whole: dict[str, set[str]] = defaultdict(set)
    for name in names:
        words = name.split()
        if len(words) > 1:
            whole[words[0]].add(name)
            whole[words[-1]].add(name)
    return {part: next(iter(longer)) for part, longer in whole.items() if len(longer) == 1}


def _name_values(kind: str, values: list[str], standing: set[str]) -> dict[str, str]:
    """Return a mask for each value that no text of the row already has: bare for a single one, numbered for several."""
    if len(values) == 1 and f"[{kind}]" not in standing:
        return {values[0]: f"[{kind}]"}
    free = (name for name in (f"[{kind}_{number}]" for number in range(1, len(values) + len(standing) + 1)) if name not in standing)
    return dict(zip(values, free, strict=False))


def _replace(text: str, spans: list[Span], masks: Mapping[str, Mapping[str, str]]) -> str:
    parts, at = [], 0
    for span in spans:
        parts += [text[at : span.start], masks[span.kind][text[span.start : span.end]]]
        at = span.end
    return "".join([*parts, text[at:]])
