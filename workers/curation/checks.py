"""What can be seen of a row by itself: marks in its texts, its tokens, its language, its length, its label."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from app.domain.datasets import Message
from app.domain.masking import MASKED_UNASKED
from app.domain.problems import BITS, CONTROL_MARK, PLACEHOLDER_MARK, SECRET_MARK, Trouble
from app.domain.repairs import is_garbled
from workers.curation.called import called_in
from workers.curation.findings_file import Codes
from workers.curation.languages import UNKNOWN, language_of
from workers.curation.marking import Marks
from workers.curation.spoken import ROLES, SYSTEM, TOOL, spoken

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from app.gateways.tokens import TokenCounter
    from workers.curation.marking import Marker
    from workers.curation.spoken import Spoken

DRAWS = 2**32
"""How many numbers chance draws from."""
MOST_LABELS = 200
LONGEST_LABEL = 60
ROWS_OF_A_LABEL = 4
"""On average at the least: a hundred short answers that are all different are no labels."""
NO_LABEL = -1


class Seen(NamedTuple):
    """What was seen, row by row; characters are those of the whole row and of its last answer."""

    flags: NDArray[np.uint32]
    tokens: NDArray[np.int32]
    answer_tokens: NDArray[np.int32]
    language: NDArray[np.int16]
    label: NDArray[np.int16]
    characters: NDArray[np.int32]
    answer_characters: NDArray[np.int32]
    draw: NDArray[np.uint32]
    marks: Marks


def joined(parts: Sequence[Seen]) -> Seen:
    """Return what was seen in one batch after the other as if it had been one."""
    starts = np.cumsum([0, *(len(part.flags) for part in parts[:-1])])
    numbered = [part.marks._replace(row=part.marks.row + np.int32(start)) for part, start in zip(parts, starts, strict=True)]
    columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in Seen._fields if name != "marks"}
    return Seen(**columns, marks=Marks(*(np.concatenate(column) for column in zip(*numbered, strict=True))))


class RowChecks:
    """Looks at batch after batch; what is counted over all of them is here afterwards.

    Personal data and languages are looked for in a `share` of the rows, since they take longest; chance has drawn which, by their hash.
    """

    def __init__(self, marker: Marker, counter: TokenCounter, *, share: float = 1.0) -> None:
        self.marker, self.languages, self.labels = marker, Codes([UNKNOWN]), Codes()
        self.is_labelled = True
        self.below = int(share * DRAWS)
        self._counter = counter
        self._around = [counter.count([Message(role=role)]) for role in ("system", "user", "assistant", "tool")] + [1]

    def look(self, batch: Any) -> Seen:
        """Look at a batch of a dataset's file."""
        said, draw = spoken(batch), _draw(batch.column("hash"))
        in_full = draw < self.below
        marks = self.marker.marks(said, in_full=in_full, called=called_in(batch))
        tokens, answer_tokens = self._tokens(said)
        last = said.last_answer
        return Seen(
            flags=self._flags(said, marks), tokens=tokens, answer_tokens=answer_tokens, language=self._languages(said, in_full),
            label=self._labels(said), characters=said.summed(said.characters, wanted=~said.is_rejected).astype(np.int32),
            answer_characters=np.where(last < 0, 0, said.characters[last]).astype(np.int32), draw=draw, marks=marks,
        )  # fmt: skip

    def _flags(self, said: Spoken, marks: Marks) -> NDArray[np.uint32]:
        flags = np.zeros(said.rows, np.uint32)
        for number, kind in enumerate(self.marker.kinds.words):
            if trouble := trouble_of(kind):
                flags[marks.row[marks.kind == number]] |= np.uint32(BITS[trouble])
        flags[said.rows_that_say(said.not_ascii(), is_garbled)] |= np.uint32(BITS[Trouble.MOJIBAKE])
        return flags

    def _tokens(self, said: Spoken) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Return the tokens of rows, of a comparison those of the longer side, and of the answers that are learnt."""
        inside = np.array(self._counter.counts(said.texts), np.int64)[said.which]
        whole = inside + np.array(self._around, np.int64)[said.role]
        first = said.summed(whole, wanted=~said.is_rejected)
        tokens = first
        if said.is_rejected.any():
            last = np.where(said.last_answer < 0, 0, whole[said.last_answer])
            worse = said.summed(whole, wanted=said.is_rejected)
            tokens = np.maximum(first, np.where(worse > 0, first - last + worse, 0))
        answers = said.summed(inside, wanted=said.is_learnt & ~said.is_rejected)
        return tokens.astype(np.int32), answers.astype(np.int32)

    def _languages(self, said: Spoken, in_full: NDArray[np.bool_]) -> NDArray[np.int16]:
        wanted = (said.role != SYSTEM) & (said.role != TOOL) & ~said.is_rejected & in_full[said.row]
        return np.array([self.languages[language_of(texts)] for texts in said.by_row(wanted=wanted)], np.int16)

    def _labels(self, said: Spoken) -> NDArray[np.int16]:
        """Return each row's answer by number while answers look like labels: few, short, and no comparisons."""
        self.is_labelled = self.is_labelled and not said.is_rejected.any() and said.role.max(initial=0) < ROLES.index("text")
        labels = np.full(said.rows, NO_LABEL, np.int16)
        if self.is_labelled:
            last = said.which[said.last_answer]
            self.is_labelled = all(len(said.texts[one]) <= LONGEST_LABEL for one in np.unique(last))
        if self.is_labelled:
            numbers = {one: self.labels[said.texts[one].strip()] for one in np.unique(last).tolist()}
            self.is_labelled = len(self.labels.numbers) <= MOST_LABELS
            labels = np.array([numbers[one] for one in last.tolist()], np.int64).astype(np.int16)
        return labels


def trouble_of(kind: str) -> Trouble | None:
    """Return the trouble that a mark of some kind means; some are marked only to be masked when somebody asks for it."""
    by_kind = {PLACEHOLDER_MARK: Trouble.PLACEHOLDER, CONTROL_MARK: Trouble.CONTROL_TOKENS, SECRET_MARK: Trouble.SECRET}
    return by_kind.get(kind) or (Trouble.PII if kind in MASKED_UNASKED else None)


def _draw(hashes: Any) -> NDArray[np.uint32]:
    """Return a number of each row that chance has drawn, and always draws the same: the second eight digits of its hash.

    The first eight say which side of the split it is on, so that choosing by them would choose one side.
    """
    digits = bytes.fromhex("".join(hashes.to_pylist()))
    return np.frombuffer(digits, ">u4").reshape(len(hashes), -1)[:, 1].astype(np.uint32)
