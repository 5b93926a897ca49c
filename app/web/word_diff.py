"""Two texts word by word: what is gone from the first, and what is new in the second."""

from __future__ import annotations

import re

from rapidfuzz.distance import Indel

from app.web.rows_view import Piece

WORD = re.compile(r"\s+|\w+\s*|[^\w\s]\s*")
MOST_CHARACTERS = 20_000
MOST_WORDS = 2_000
"""Behind a common beginning and before a common end, texts are compared up to here: time and memory go by the square of this."""
PAGE_CHARACTERS = 400_000
"""What one page compares at most; texts beyond are shown without marks."""
GONE, NEW = "gone", "new"
AROUND = 160
"""What two texts share is shown up to so many characters on each side of a difference."""
TITLES = {GONE: "only in the first", NEW: "only in the second"}


class Comparing:
    """Compares the texts of one page, as many as there is time for; `gave_up` once some are shown without marks."""

    def __init__(self, most: int = PAGE_CHARACTERS) -> None:
        self.left, self.gave_up = most, False

    def differences(self, before: str, after: str) -> tuple[list[Piece], list[Piece]]:
        """Return both texts in pieces, those marked that the other does not have."""
        if not self._has_time(before, after):
            return [Piece(before)], [Piece(after)]
        both = merged(before, after)
        return [piece for piece in both if piece.kind != NEW], [piece for piece in both if piece.kind != GONE]

    def merged(self, before: str, after: str) -> list[Piece]:
        """Return both texts as one: what they share, what only the first has, and what only the second has; else the second alone."""
        return merged(before, after) if before != after and self._has_time(before, after) else [Piece(after)]

    def _has_time(self, before: str, after: str) -> bool:
        self.left -= min(len(before), MOST_CHARACTERS) + min(len(after), MOST_CHARACTERS)
        self.gave_up = self.gave_up or self.left < 0
        return not self.gave_up


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
    gone = added = 0  # where the words begin that neither shares nor were shown yet
    for each in Indel.opcodes(old[:MOST_WORDS], new[:MOST_WORDS]):
        if each.tag != "equal":
            continue
        _differ(pieces, "".join(old[gone : each.src_start]), "".join(new[added : each.dest_start]))
        _add(pieces, "".join(old[each.src_start : each.src_end]), "")
        gone, added = each.src_end, each.dest_end
    _differ(pieces, "".join(old[gone:]), "".join(new[added:]))


def _differ(pieces: list[Piece], gone: str, new: str) -> None:
    """Add what differs, without the space that both end with; of the same words only the space differs."""
    stem = gone.rstrip()
    if stem == new.rstrip():
        _add(pieces, stem, "")
        gone, new = gone.removeprefix(stem), new.removeprefix(stem)
    space = gone[len(gone.rstrip()) :]
    if space != new[len(new.rstrip()) :]:
        space = ""
    _add(pieces, gone.removesuffix(space), GONE)
    _add(pieces, new.removesuffix(space), NEW)
    _add(pieces, space, "")


def shortened(pieces: list[Piece]) -> list[Piece]:
    """Return pieces whose shared parts are cut in their middle where they are long."""
    return [piece if piece.kind or len(piece.text) <= 3 * AROUND else _cut(piece.text) for piece in pieces]


def _cut(text: str) -> Piece:
    return Piece(f"{text[:AROUND]} … {text[-AROUND:]}")


def _add(pieces: list[Piece], text: str, kind: str) -> None:
    if text and pieces and pieces[-1].kind == kind:
        pieces[-1] = pieces[-1]._replace(text=pieces[-1].text + text)
    elif text:
        pieces.append(Piece(text, kind, TITLES.get(kind, "")))
