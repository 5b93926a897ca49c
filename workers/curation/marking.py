"""Marks in the texts of many rows: placeholders, control tokens, secrets, and personal data."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from app.domain.placeholders import SUSPECT, placeholders
from app.domain.problems import CONTROL_MARK, PLACEHOLDER_MARK
from app.domain.repairs import SUSPECT_CONTROL, control_tokens
from workers.curation.called import find_passed
from workers.curation.findings_file import Codes
from workers.curation.spoken import TOOL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from app.domain.masking import Span
    from workers.curation.called import Called
    from workers.curation.spoken import Spoken

    Search = Callable[[str], Sequence[tuple[int, int, str]]]

MOST_DIFFERENT_BLANKS = 2_000
EVERYTHING = ""
LONGEST_REMEMBERED = 4_096
_Mark = tuple[int, int, int, int, int]
"""Row, turn, start, end and kind."""


class Finder(Protocol):
    """Finds personal data and secrets in a text."""

    def find(self, text: str) -> Sequence[Span]:
        """Return what was found, in order and not overlapping."""


class Marks(NamedTuple):
    """The marks of a batch as columns, in the order of rows; `row` counts within the batch, `kind` is a place in `Marker.kinds`."""

    row: NDArray[np.int32]
    turn: NDArray[np.int32]
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
        self._searches = (_remembering(secrets), _remembering(finder.find))

    def marks(self, said: Spoken, *, in_full: NDArray[np.bool_], called: Iterable[Called] = ()) -> Marks:
        """Return what is marked in a batch, and in what it passes to tools; in the rows `in_full` all personal data is."""
        found: list[_Mark] = []
        for text in said.suspects(SUSPECT):
            found += self._blanks(said, text)
        everywhere, secrets, in_part = np.ones(len(said.row), np.bool_), *self._searches
        full = in_full[said.row]
        found += self._marked(said, said.suspects(SUSPECT_CONTROL), _control_marks, everywhere)
        found += self._marked(said, np.unique(said.which[full]), in_part, full)
        found += self._marked(said, np.intersect1d(said.which[~full], said.suspects(self._suspect)), secrets, ~full)
        for each in called:
            spans = find_passed(in_part if in_full[each.row] else secrets, each.value)
            found += [(each.row, each.turn, start, end, self.kinds[kind]) for start, end, kind in spans]
        row, turn, start, end, kind = np.array(_apart(found), np.int32).reshape(-1, 5).T
        self.found.update({self.kinds.words[number]: many for number, many in Counter(kind.tolist()).items()})
        return Marks(row, turn, start, end, kind.astype(np.int8))

    def _blanks(self, said: Spoken, text: int) -> list[_Mark]:
        """Return the placeholders at every turn that says a text; what a tool has said is nobody's to fill in."""
        places = [place for place in said.where(text).tolist() if said.role[place] != TOOL]
        whole, kind = said.texts[text], self.kinds[PLACEHOLDER_MARK]
        spans = {is_answer: placeholders(whole, is_answer=is_answer) for is_answer in set(said.is_answer[places].tolist())}
        found: list[_Mark] = []
        for place in places:
            here = spans[bool(said.is_answer[place])]
            for blank in {whole[start:end] for start, end in here}:
                if blank in self.blanks or len(self.blanks) < MOST_DIFFERENT_BLANKS:
                    self.blanks[blank] += 1
            found += [(int(said.row[place]), int(said.turn[place]), start, end, kind) for start, end in here]
        return found

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


def _remembering(search: Search) -> Search:
    """Return a search that remembers what it found in short texts: a system prompt or a label stands in many rows."""
    remembered = lru_cache(1024)(search)
    return lambda text: remembered(text) if len(text) <= LONGEST_REMEMBERED else search(text)


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
