"""From conversations to masked rows of bounded length, with an account of what had to be cut or left out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from app.domain.errors import Invalid
from workers.training.masks import MaskedRow, NotTrainable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from workers.training.masks import Masker
    from workers.training.rows import Row

EMPTY = MaskedRow(np.zeros(1, dtype=np.int32), np.zeros(1, dtype=np.bool_))


@dataclass
class Prepared:
    """Masked rows in the order of the dataset; a row that cannot be trained keeps its place, empty."""

    rows: list[MaskedRow] = field(default_factory=list)
    truncated: int = 0
    untrained: int = 0
    borders_differ: int = 0
    refusals: Counter[str] = field(default_factory=Counter)


def prepare(rows: Sequence[Row], masker: Masker, max_length: int, *, check: Callable[[], None]) -> Prepared:
    """Mask and cut all rows; `check` is called now and then and may raise to leave."""
    prepared = Prepared()
    for number, row in enumerate(rows):
        if number % 256 == 0:
            check()
        prepared.rows.append(_one(row, masker, max_length, prepared))
    return prepared


def require_trained_tokens(prepared: Prepared) -> None:
    """Refuse rows of which none has a token to train on, saying why."""
    if prepared.untrained < len(prepared.rows):
        return
    if prepared.refusals:
        reason = prepared.refusals.most_common(1)[0][0]
        raise Invalid(f"No row can be trained: {reason}.", param="dataset", code="no_trained_tokens")
    message = "No row has a trained token: every answer lies beyond max_length. Raise settings.max_length, or shorten the prompts."
    raise Invalid(message, param="max_length", code="no_trained_tokens")


def _one(row: Row, masker: Masker, max_length: int, prepared: Prepared) -> MaskedRow:
    try:
        masked = masker.mask(row.messages)
    except NotTrainable as why:
        prepared.refusals[str(why)] += 1
        prepared.untrained += 1
        return EMPTY
    prepared.borders_differ += masked.borders_differ
    # What follows the last trained token changes nothing that is trained.
    length = int(masked.trained.nonzero()[0][-1]) + 1 if masked.trained.any() else 1
    prepared.truncated += length > max_length
    cut = MaskedRow(masked.ids[: min(length, max_length)], masked.trained[: min(length, max_length)], cut=length > max_length)
    if not cut.trained[1:].any():
        prepared.untrained += 1
    return cut
