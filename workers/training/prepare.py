"""From conversations to masked rows of bounded length, with an account of what is wrong with them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from app.domain.errors import Invalid
from app.domain.repairs import control_tokens
from workers.training.masks import MaskedRow
from workers.training.templates import MAX_RENDER_SECONDS
from workers.training.turns import NotTrainable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from workers.training.masks import Masker
    from workers.training.rows import Row

ROWS_NAMED = 20
ROWS_AT_ONCE = 256
SLOW_ROWS = 5
"""Rows a template may compute too long at before no other is tried."""
TRAINED = b"\x01"
"""A trained token in the bytes of a mask, which are searched faster than arrays of a few tokens."""
EMPTY = MaskedRow(np.zeros(1, dtype=np.int32), np.zeros(1, dtype=np.bool_))


@dataclass(frozen=True)
class Refusal:
    """Why some rows cannot be trained, and which, by their numbers."""

    code: str
    rows: list[int]


@dataclass
class Prepared:
    """Masked rows in the order in which they came; a row that cannot be trained keeps its place, empty."""

    rows: list[MaskedRow] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    """What people call the rows: their places in the dataset, from 1."""
    longest: int = 0
    """Tokens of the longest row up to its last trained one, before it was cut."""
    truncated: int = 0
    untrained: int = 0
    borders_differ: int = 0
    slow: int = 0
    refusals: dict[str, Refusal] = field(default_factory=dict)
    """The rows that no honest mask can be made for, under the reason."""
    silent: list[int] = field(default_factory=list)
    """Rows in which nothing is to be learnt, cut or not."""
    beyond: dict[int, int] = field(default_factory=dict)
    """Rows that are cut before their first trained token, and where that stands."""
    doubled: list[int] = field(default_factory=list)
    """Rows that begin with the beginning-of-sequence token twice."""
    marked: list[int] = field(default_factory=list)
    """Rows with control tokens of a chat template in what is said."""

    def add(self, row: Row, masker: Masker, max_length: int) -> MaskedRow | None:
        """Mask and cut a row, and return it as it was before the cut; None when it cannot be trained."""
        self.numbers.append(row.number)
        if any(_holds_control_tokens(message.content) for message in row.messages):
            self.marked.append(row.number)
        try:
            masked = masker.mask(row.messages, row.tools)
        except NotTrainable as why:
            self._refuse(row.number, why)
            return None
        self.borders_differ += masked.borders_differ
        begin = masker.tokenizer.bos_token_id
        if begin is not None and masked.ids[:2].tolist() == [begin, begin]:
            self.doubled.append(row.number)
        self._cut(row.number, masked, max_length)
        return masked

    def _cut(self, number: int, masked: MaskedRow, max_length: int) -> None:
        # The first token is never predicted, so it is not trained whatever the mask says.
        marks = masked.trained.tobytes()
        first, last = marks.find(TRAINED, 1), marks.rfind(TRAINED, 1)
        # What follows the last trained token changes nothing that is trained.
        length = max(last, 0) + 1
        self.longest = max(self.longest, length)
        self.truncated += length > max_length
        kept = min(length, max_length)
        self.rows.append(MaskedRow(masked.ids[:kept].copy(), masked.trained[:kept].copy(), cut=length > max_length))
        if first < 0:
            self.silent.append(number)
        elif first >= max_length:
            self.beyond[number] = first
        self.untrained += first < 0 or first >= max_length

    def _refuse(self, number: int, why: NotTrainable) -> None:
        self.refusals.setdefault(str(why), Refusal(why.code, [])).rows.append(number)
        self.rows.append(EMPTY)
        self.untrained += 1
        self.slow += why.is_slow


def prepare(rows: Sequence[Row], masker: Masker, max_length: int, *, check: Callable[[], None]) -> Prepared:
    """Mask and cut all rows; `check` is called now and then and may raise to leave."""
    prepared = Prepared()
    for place, row in enumerate(rows):
        if place % ROWS_AT_ONCE == 0:
            check()
            masker.expect(each.messages for each in rows[place : place + ROWS_AT_ONCE])
        prepared.add(row, masker, max_length)
        if prepared.slow >= SLOW_ROWS:
            message = f"The base's chat template computes for more than {MAX_RENDER_SECONDS:g} seconds at a row, again and again."
            raise Invalid(message, param="base_model", code="template_error")
    return prepared


def _holds_control_tokens(text: str) -> bool:
    # Each of them has one of these; most texts have neither.
    return ("<" in text or "[" in text) and bool(control_tokens(text))


def row_names(numbers: Sequence[int]) -> str:
    """Return rows as a sentence names them, the first ones of many."""
    return ", ".join(map(str, numbers[:ROWS_NAMED])) + (" …" if len(numbers) > ROWS_NAMED else "")
