"""Two texts word by word: what is gone from the first, and what is new in the second."""

from __future__ import annotations

import re
from typing import NamedTuple

from rapidfuzz.distance import Indel

from app.web.rows_view import Piece

WORD = re.compile(r"\s+|\w+\s*|[^\w\s]\s*")
TO_A_WORD = re.compile(r".*(?:\W(?=\S)|(?=[^\w\s]))", re.DOTALL)
FROM_A_WORD = re.compile(r"\W(?=\S)|\w(?=[^\w\s])")
"""Up to where the last word of a text begins, and up to where its second one does."""
MOST_CHARACTERS, MOST_WORDS = 20_000, 2_000
"""Behind a common beginning and before a common end, texts are compared up to here: time and memory go by the square of the words."""
PAGE_CHARACTERS = 400_000
"""What one page compares at most; texts beyond are shown without marks."""
GONE, NEW = "gone", "new"
AROUND = 160
"""What two texts share is shown up to so many characters on each side of a difference."""
TITLES = {GONE: "only in the first", NEW: "only in the second"}


class Compared(NamedTuple):
    """Two texts as one, in pieces, up to where they were compared; behind that both are as they are, and the same unless it was cut."""

    pieces: list[Piece]
    before: str
    after: str


class Comparing:
    """Compares the texts of one page, as many as there is time for; `gave_up` once some are shown without marks."""

    def __init__(self, most: int = PAGE_CHARACTERS) -> None:
        self.left, self.gave_up = most, False

    def differences(self, before: str, after: str) -> tuple[list[Piece], list[Piece]]:
        """Return both texts in pieces, those marked that the other does not have."""
        found = self._compare(before, after)
        old, new = ([piece for piece in found.pieces if piece.kind != other] for other in (NEW, GONE))
        return _with(old, found.before), _with(new, found.after)

    def merged(self, before: str, after: str) -> list[Piece]:
        """Return both texts as one: what they share, what only the first has, what only the second has; uncompared, only the second."""
        found = self._compare(before, after)
        return _with(found.pieces, found.after)

    def _compare(self, before: str, after: str) -> Compared:
        if before == after:
            return Compared([], before, after)
        begin, end = _shared(before, after)
        old, new = before[begin : len(before) - end], after[begin : len(after) - end]
        self.left -= min(len(old), MOST_CHARACTERS) + min(len(new), MOST_CHARACTERS)
        if self.left < 0:
            self.gave_up = True
            return Compared([], before, after)
        pieces = _with([], before[:begin])
        old_done, new_done = _compare(pieces, old, new)
        found = Compared(pieces, before[begin + old_done :], after[begin + new_done :])
        self.gave_up = self.gave_up or found.before != found.after
        return found


def _shared(before: str, after: str) -> tuple[int, int]:
    """Return with how many characters both texts begin and end, up to where a word does."""
    begin = TO_A_WORD.match(before[: _alike(before, after)])
    start = begin.end() if begin else 0
    same = _alike(before[start:][::-1], after[start:][::-1])
    end = FROM_A_WORD.search(before[len(before) - same :])
    return start, same - end.end() if end else 0


def _alike(one: str, other: str) -> int:
    """Return with how many characters both begin."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[low:middle] == other[low:middle] else (low, middle - 1)
    return low


def _compare(pieces: list[Piece], before: str, after: str) -> tuple[int, int]:
    """Add what both texts share and what only one has, and return with how many of their characters that was done."""
    old, new = (WORD.findall(text[:MOST_CHARACTERS])[:MOST_WORDS] for text in (before, after))
    gone = added = 0  # where the words begin that neither shares nor were shown yet
    for each in Indel.opcodes(old, new):
        if each.tag != "equal":
            continue
        _differ(pieces, "".join(old[gone : each.src_start]), "".join(new[added : each.dest_start]))
        _add(pieces, "".join(old[each.src_start : each.src_end]), "")
        gone, added = each.src_end, each.dest_end
    _differ(pieces, "".join(old[gone:]), "".join(new[added:]))
    return sum(map(len, old)), sum(map(len, new))


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


def _with(pieces: list[Piece], text: str) -> list[Piece]:
    """Return pieces with a text behind them that is not marked."""
    _add(pieces, text, "")
    return pieces


def _add(pieces: list[Piece], text: str, kind: str) -> None:
    if text and pieces and pieces[-1].kind == kind:
        pieces[-1] = pieces[-1]._replace(text=pieces[-1].text + text)
    elif text:
        pieces.append(Piece(text, kind, TITLES.get(kind, "")))
