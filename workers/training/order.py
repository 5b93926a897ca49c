"""The order in which rows are seen: seeded permutations one after the other, cut into steps; the same for every layout."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from app.domain.specs import rows_seen

if TYPE_CHECKING:
    from numpy.typing import NDArray


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
        return cls(rows, batch_size, seed, None if epochs is None else rows_seen(rows, epochs))

    def step(self, number: int) -> list[int]:
        """Return the rows of a step (1-based); steps run across the borders of epochs."""
        first = (number - 1) * self.batch_size
        end = first + self.batch_size if self.limit is None else min(first + self.batch_size, self.limit)
        epochs = {epoch: _permutation(self.seed, epoch, self.rows) for epoch in range(first // self.rows, (end - 1) // self.rows + 1)}
        return [int(epochs[place // self.rows][place % self.rows]) for place in range(first, end)]


@lru_cache(maxsize=2)  # a step lies in one epoch or across the border of two
def _permutation(seed: int, epoch: int, rows: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, epoch]).permutation(rows)
