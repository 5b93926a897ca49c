"""The rows that a run computes at once: how many of them, of how many tokens in all, in its heaviest step."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from app.domain.accelerators import Unit
    from app.domain.specs import TrainingSettings

TOKENS_AT_ONCE = {"cpu": 4_096, "gpu": 16_384}
"""Where nobody says how many rows (workers/training/batches.py)."""


class Work(BaseModel):
    """What a run computes: rows, optimiser steps and the lengths of rows in tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int
    steps: int
    mean_tokens: float
    longest_tokens: int
    trained_share: float = 0.5
    computed_share: float = 1.0
    eval_rows: int = 0


class Pack(NamedTuple):
    """Rows computed at once: their tokens, at least and at most, those of the longest row, and whether a step has more packs."""

    rows: int
    tokens: float
    least: float
    most: float
    longest: float
    is_one_of_many: bool

    def halved(self, work: Work) -> Pack:
        """Return a pack with half of the rows, which then is one of many."""
        return _pack(work, max(1, self.rows // 2), self.tokens / 2, is_one_of_many=True)


def heaviest(settings: TrainingSettings, work: Work, unit: Unit) -> Pack:
    """Return the heaviest pack of a run: a step's rows, within the tokens and the rows that are computed at once."""
    batch = min(settings.batch_size, work.rows)
    rows = batch if settings.micro_batch_size == "auto" else min(settings.micro_batch_size, batch)
    pack = _pack(work, rows, TOKENS_AT_ONCE[unit], is_one_of_many=rows < batch)
    fitting = max(1, math.floor(TOKENS_AT_ONCE[unit] / max(1.0, work.mean_tokens * work.computed_share)))
    return pack._replace(rows=min(rows, fitting), is_one_of_many=min(rows, fitting) < batch)


def _pack(work: Work, rows: int, budget: float, *, is_one_of_many: bool) -> Pack:
    longest, mean, share = float(work.longest_tokens), work.mean_tokens, work.computed_share
    # The heaviest of many steps has more than a mean one: as rows of lengths drawn at random add up.
    likely = min(rows * longest, rows * mean + math.sqrt(rows) * (longest - mean)) * share
    within = max(budget, longest)
    tokens, least, most = (min(each, within) for each in (likely, rows * mean * share, rows * longest))
    return Pack(rows, tokens, least, most, longest, is_one_of_many)
