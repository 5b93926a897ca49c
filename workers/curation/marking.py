"""Marks in the texts of many rows: placeholders, control tokens, secrets, and personal data."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from app.domain.placeholders import SUSPECT, placeholders
from app.domain.problems import CONTROL_MARK, PLACEHOLDER_MARK
from app.domain.repairs import SUSPECT_CONTROL, control_tokens
from workers.curation.findings_file import Codes
from workers.curation.spoken import TOOL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from app.domain.masking import Span
    from workers.curation.spoken import Spoken

    Search = Callable[[str], Sequence[tuple[int, int, str]]]

MOST_DIFFERENT_BLANKS = 2_000
EVERYTHING = ""
_Mark = tuple[int, int, int, int, int]
"""Row, turn, start, end and kind."""


class Finder(Protocol):
    """Finds personal data and secrets in a text."""

    def find(self, text: str) -> Sequence[Span]:
        """Return what was found, in order and not overlapping."""


class Marks(NamedTuple):
    """The marks of a batch as columns, in the order of rows; `row` counts within the batch, `kind` is a place in `Marker.kinds`."""

    row: NDArray[np.int32]
    turn: NDArray[np.int16]
    start: NDArray[np.int32]
    end: NDArray[np.int32]
    kind: NDArray[np.int8]


class Marker:
    """Marks batch after batch; which kinds there are, and how often each was found, is here afterwards.

    Secrets are looked for in every row whose texts are `suspect`, a pattern of RE2's dialect; other personal data where a batch says so,
    since finding names takes longer than all else.
    """

    def __init__(self, finder: Finder, secrets: Search, *, suspect: str = EVERYTHING) -> None:
        self._suspect = suspect
        self.kinds = Codes()
        self.blanks: Counter[str] = Counter()
        self.found: Counter[str] = Counter()
        # A system prompt or a label stands in many rows.
        self._searches: tuple[Search, Search] = (lru_cache(1024)(secrets), lru_cache(1024)(finder.find))

    def marks(self, said: Spoken, *, in_full: NDArray[np.bool_]) -> Marks:
        """Return what is marked in a batch; in the rows `in_full` all personal data is."""
        found: list[_Mark] = []
        for text in said.suspects(SUSPECT):
            for place in said.where(text).tolist():
                found += self._blanks_of_turn(said, place)
        everywhere, secrets, in_part = np.ones(len(said.row), np.bool_), *self._searches
        full = in_full[said.row]
        found += self._marked(said, said.suspects(SUSPECT_CONTROL), _control_marks, everywhere)
        found += self._marked(said, np.unique(said.which[full]), in_part, full)
        found += self._marked(said, np.intersect1d(said.which[~full], said.suspects(self._suspect)), secrets, ~full)
        row, turn, start, end, kind = np.array(_apart(found), np.int32).reshape(-1, 5).T
        self.found.update({self.kinds.words[number]: many for number, many in Counter(kind.tolist()).items()})
        return Marks(row, turn.astype(np.int16), start, end, kind.astype(np.int8))

    def _blanks_of_turn(self, said: Spoken, place: int) -> list[_Mark]:
        """Return the placeholders of a turn; what a tool has said is nobody's to fill in."""
        if said.role[place] == TOOL:
            return []
        text = said.texts[said.which[place]]
        row, turn, kind = int(said.row[place]), int(said.turn[place]), self.kinds[PLACEHOLDER_MARK]
        spans = _blanks(text, bool(said.is_answer[place]))
        for blank in {text[start:end] for start, end in spans}:
            if blank in self.blanks or len(self.blanks) < MOST_DIFFERENT_BLANKS:
                self.blanks[blank] += 1
        return [(row, turn, start, end, kind) for start, end in spans]

    def _marked(self, said: Spoken, texts: Iterable[int], search: Search, wanted: NDArray[np.bool_]) -> list[_Mark]:
        """Return what a search finds in texts, at every wanted turn that says one of them."""
        found: list[_Mark] = []
        for text in texts:
            if spans := search(said.texts[text]):
                for place in said.where(text).tolist():
                    if wanted[place]:
                        row, turn = int(said.row[place]), int(said.turn[place])
                        found += [(row, turn, start, end, self.kinds[kind]) for start, end, kind in spans]
        return found


@lru_cache(1024)
def _blanks(text: str, is_answer: bool) -> list[tuple[int, int]]:  # noqa: FBT001 - a cache's key has no keywords' names
    return placeholders(text, is_answer=is_answer)


def _control_marks(text: str) -> list[tuple[int, int, str]]:
    return [(start, end, CONTROL_MARK) for start, end in control_tokens(text)]


def _apart(found: list[_Mark]) -> list[_Mark]:
    """Return marks in the order of rows; of two that overlap the one that was found first, so that [Your Name] is nobody's name."""
    apart: list[tuple[_Mark, int]] = []
    for place, mark in sorted(enumerate(found), key=lambda each: each[1][:3]):
        before, its_place = apart[-1] if apart else (None, 0)
        if before is None or before[:2] != mark[:2] or before[3] <= mark[2]:
            apart.append((mark, place))
        elif place < its_place:
            apart[-1] = (mark, place)
    return [mark for mark, _ in apart]
