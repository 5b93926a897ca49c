"""Two texts word by word: what is gone from the first, and what is new in the second."""

from __future__ import annotations

import re
from difflib import SequenceMatcher

from app.web.rows_view import Piece

WORD = re.compile(r"\s+|\w+\s*|[^\w\s]\s*")
MOST_CHARACTERS = 20_000
MOST_WORDS = 300
"""Comparing takes time by the cube of this at worst; behind a common beginning and before a common end, texts are compared up to here."""
GONE, NEW = "gone", "new"
AROUND = 160
"""What two texts share is shown up to so many characters on each side of a difference."""
TITLES = {GONE: "only in the first", NEW: "only in the second"}


def differences(before: str, after: str) -> tuple[list[Piece], list[Piece]]:
    """Return both texts in pieces, those marked that the other does not have."""
    both = merged(before, after)
    return [piece for piece in both if piece.kind != NEW], [piece for piece in both if piece.kind != GONE]


def merged(before: str, after: str) -> list[Piece]:
    """Return both texts as one: what they share, what only the first has, and what only the second has."""
    old, new = WORD.findall(before[:MOST_CHARACTERS]), WORD.findall(after[:MOST_CHARACTERS])
    begin = _alike(old, new)
    end = _alike(old[begin:][::-1], new[begin:][::-1])
    pieces: list[Piece] = []
    _add(pieces, "".join(old[:begin]), "")
    _compare(pieces, old[begin : len(old) - end], new[begin : len(new) - end])
    _add(pieces, "".join(old[len(old) - end :]), "")
    return pieces


def _alike(old: list[str], new: list[str]) -> int:
    """Return with how many words both begin."""
    pairs = enumerate(zip(old, new, strict=False))
    return next((place for place, (one, other) in pairs if one != other), min(len(old), len(new)))


def _compare(pieces: list[Piece], old: list[str], new: list[str]) -> None:
    matcher = SequenceMatcher(None, old[:MOST_WORDS], new[:MOST_WORDS], autojunk=False)
    for tag, low, high, start, end in matcher.get_opcodes():
        if tag == "equal":
            _add(pieces, "".join(old[low:high]), "")
        else:
            _add(pieces, "".join(old[low:high]), GONE)
            _add(pieces, "".join(new[start:end]), NEW)
    _add(pieces, "".join(old[MOST_WORDS:]), GONE)
    _add(pieces, "".join(new[MOST_WORDS:]), NEW)


def shortened(pieces: list[Piece]) -> list[Piece]:
    """Return pieces whose shared parts are cut in their middle where they are long."""
    return [piece if piece.kind or len(piece.text) <= 3 * AROUND else _cut(piece.text) for piece in pieces]


def _cut(text: str) -> Piece:
    return Piece(f"{text[:AROUND]} … {text[-AROUND:]}")


def _add(pieces: list[Piece], text: str, kind: str) -> None:
    if text:
        pieces.append(Piece(text, kind, TITLES.get(kind, "")))
