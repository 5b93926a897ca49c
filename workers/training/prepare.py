"""From conversations to masked rows of bounded length, with an account of what had to be cut or left out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from app.domain.errors import Invalid
from workers.training.masks import MaskedRow, NotTrainable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from workers.training.masks import Masker
    from workers.training.rows import Row

ROWS_NAMED = 20
EMPTY = MaskedRow(np.zeros(1, dtype=np.int32), np.zeros(1, dtype=np.bool_))


@dataclass
class Prepared:
    """Masked rows in the order of the dataset; a row that cannot be trained keeps its place, empty."""

    rows: list[MaskedRow] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    """What people call the rows: their places in the dataset, from 1."""
    longest: int = 0
    """Tokens of the longest row up to its last trained one, before it was cut."""
    truncated: int = 0
    untrained: int = 0
    borders_differ: int = 0
    refusals: dict[str, list[int]] = field(default_factory=dict)
    """The rows that cannot be trained, by their numbers, under the reason."""

    @property
    def main_refusal(self) -> str | None:
        """The reason that most of them share."""
        return max(self.refusals, key=lambda reason: len(self.refusals[reason]), default=None)


def prepare(rows: Sequence[Row], masker: Masker, max_length: int, *, check: Callable[[], None]) -> Prepared:
    """Mask and cut all rows; `check` is called now and then and may raise to leave."""
    prepared = Prepared()
    for place, row in enumerate(rows):
        if place % 256 == 0:
            check()
        prepared.rows.append(_one(row, masker, max_length, prepared))
        prepared.numbers.append(row.number)
    return prepared


def require_trained_tokens(prepared: Prepared, *, context: int | None) -> None:
    """Refuse rows of which none has a token to train on, saying why; `context` is how many tokens the base reads."""
    if prepared.untrained < len(prepared.rows):
        return
    reason = prepared.main_refusal
    if reason and sum(map(len, prepared.refusals.values())) == len(prepared.rows):
        named = {"rows": prepared.refusals[reason][:ROWS_NAMED]}
        raise Invalid(f"No row can be trained: {reason}.", param="base_model", code="template_error", data=named)
    message = "No row has a trained token: none has any text to answer with."
    if prepared.truncated:
        message = "No row has a trained token: every answer lies beyond max_length. Raise settings.max_length, or shorten the prompts."
    lengths = {"longest_row": prepared.longest, "context": context}
    raise Invalid(message, param="max_length", code="no_trained_tokens", data=lengths)


def row_names(numbers: Sequence[int]) -> str:
    """Return rows as a sentence names them, the first ones of many."""
    return ", ".join(map(str, numbers[:ROWS_NAMED])) + (" …" if len(numbers) > ROWS_NAMED else "")


def _one(row: Row, masker: Masker, max_length: int, prepared: Prepared) -> MaskedRow:
    try:
        masked = masker.mask(row.messages)
    except NotTrainable as why:
        prepared.refusals.setdefault(str(why), []).append(row.number)
        prepared.untrained += 1
        return EMPTY
    prepared.borders_differ += masked.borders_differ
    # What follows the last trained token changes nothing that is trained.
    length = int(masked.trained.nonzero()[0][-1]) + 1 if masked.trained.any() else 1
    prepared.longest = max(prepared.longest, length)
    prepared.truncated += length > max_length
    cut = MaskedRow(masked.ids[: min(length, max_length)], masked.trained[: min(length, max_length)], cut=length > max_length)
    if not cut.trained[1:].any():
        prepared.untrained += 1
    return cut
