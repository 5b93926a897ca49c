"""How rows become steps and micro-batches: a step is defined by its rows alone, and the layout may not change its result."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from workers.training.masks import MaskedRow

TOKENS_PER_MICRO_BATCH = {"cpu": 4_096, "cuda": 16_384}
"""Padded tokens computed at once when micro_batch_size is auto: enough to fill the processor, little enough to fit."""


@dataclass(frozen=True)
class DataOrder:
    """The infinite stream of rows, one seeded permutation after the other, cut into steps."""

    rows: int
    batch_size: int
    seed: int
    limit: int | None
    """How many rows there are to see; None when the number of steps is given."""

    @classmethod
    def over(cls, rows: int, *, batch_size: int, seed: int, epochs: float | None) -> DataOrder:
        """Return the order over `rows` rows; `epochs` None means without end."""
        return cls(rows, batch_size, seed, None if epochs is None else math.ceil(rows * epochs))

    def step(self, number: int) -> list[int]:
        """Return the rows of a step (1-based); steps run across the borders of epochs."""
        first = (number - 1) * self.batch_size
        end = first + self.batch_size if self.limit is None else min(first + self.batch_size, self.limit)
        epochs = {epoch: _permutation(self.seed, epoch, self.rows) for epoch in range(first // self.rows, (end - 1) // self.rows + 1)}
        return [int(epochs[place // self.rows][place % self.rows]) for place in range(first, end)]

    def position(self, finished_steps: int) -> dict[str, int]:
        """Return where the stream stands after some steps, for the record of a checkpoint."""
        seen = finished_steps * self.batch_size
        return {"epoch": seen // self.rows, "row_of_epoch": seen % self.rows}


@lru_cache(maxsize=2)  # a step lies in one epoch or across the border of two
def _permutation(seed: int, epoch: int, rows: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, epoch]).permutation(rows)


@dataclass(frozen=True)
class Batch:
    """Rows side by side, padded at the end: causal attention never looks there, so no mask is needed."""

    rows: tuple[int, ...]
    ids: torch.Tensor  # B, L
    predicts: torch.Tensor  # B, L: True where the NEXT token is trained
    targets: torch.Tensor  # T: the trained tokens, row after row
    tokens: int
    """Without padding."""


def micro_batches(rows: Sequence[tuple[int, MaskedRow]], *, size: int | None, token_budget: int) -> list[Batch]:
    """Group rows of like length; `size` rows each, or as many as the budget of padded tokens takes.

    Rows without a trained token are left out: they add nothing to the step.
    """
    by_length = sorted((entry for entry in rows if entry[1].trained[1:].any()), key=lambda entry: len(entry[1].ids))
    groups: list[list[tuple[int, MaskedRow]]] = []
    for entry in by_length:
        room = size if size is not None else max(1, token_budget // len(entry[1].ids))
        if not groups or len(groups[-1]) >= room:
            groups.append([])
        groups[-1].append(entry)
    return [_pad(group) for group in groups]


def _pad(group: Sequence[tuple[int, MaskedRow]]) -> Batch:
    longest = max(len(row.ids) for _, row in group) - 1
    ids = torch.zeros(len(group), longest, dtype=torch.long)
    predicts = torch.zeros(len(group), longest, dtype=torch.bool)
    for index, (_, row) in enumerate(group):
        # The last token predicts nothing, so the model need not read it.
        length = len(row.ids) - 1
        ids[index, :length] = torch.from_numpy(row.ids[:-1].astype(np.int64))
        predicts[index, :length] = torch.from_numpy(row.trained[1:])
    targets = np.concatenate([row.ids[1:][row.trained[1:]] for _, row in group]).astype(np.int64)
    numbers = tuple(number for number, _ in group)
    return Batch(numbers, ids, predicts, torch.from_numpy(targets), sum(len(row.ids) - 1 for _, row in group))
