"""The weights a run begins with, kept until the untrained model was checked: so the first step need not wait for that check.

What a check finds is the same bit for bit, since for its time the very weights of before the first step are in place.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class FirstWeights:
    """Copies of what an adapter begins with: some megabytes, which are let go of soon."""

    def __init__(self, trained: Sequence[torch.nn.Parameter]) -> None:
        self._trained = trained
        self._first = _copies(trained)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Have the model be what it was in the beginning for the time of a with block."""
        now = _copies(self._trained)
        _put(self._first, self._trained)
        try:
            yield
        finally:
            _put(now, self._trained)


def _copies(weights: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    return [weight.detach().clone() for weight in weights]


@torch.no_grad()
def _put(values: Sequence[torch.Tensor], weights: Sequence[torch.Tensor]) -> None:
    for value, weight in zip(values, weights, strict=True):
        weight.copy_(value)
