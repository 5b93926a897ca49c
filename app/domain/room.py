"""Whether a model's weights fit where they are to answer: a phone, a laptop, a card, with what a conversation needs beside them."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from app.domain.architectures import Architecture

GIGA = 10**9
KEPT_BITS = 16
"""What keys and values of a conversation are kept in, whatever the weights are in."""


class Place(NamedTuple):
    """A device of a size people have; `usable` is the share of its memory that a model can have beside the system and other programs."""

    key: str
    label: str
    memory_bytes: int
    usable: float


PLACES = (
    Place("phone", "Phone, 4 GB", 4 * GIGA, 0.5),
    Place("laptop", "Laptop, 16 GB", 16 * GIGA, 0.75),
    Place("card", "Card, 24 GB", 24 * GIGA, 0.95),
    Place("server", "Card, 80 GB", 80 * GIGA, 0.95),
)
"""Phones give one app about half of their memory, and laptops share theirs with the screen and all that is open; a card has one task."""


class Fit(StrEnum):
    """Whether a model has room."""

    YES = "yes"
    TIGHT = "tight"
    NO = "no"


def context_bytes(arch: Architecture, tokens: int) -> int:
    """Return what a conversation of so many tokens takes: a key and a value for each token, layer that attends, and head kept."""
    return 2 * arch.attention_layers * arch.kv_heads * arch.head_dim * tokens * KEPT_BITS // 8


def fit(weights: int, context: int, place: Place) -> Fit:
    """Return whether weights fit with a conversation (yes), only when nothing else runs (tight), or not."""
    needed = weights + context
    if needed <= place.memory_bytes * place.usable:
        return Fit.YES
    return Fit.TIGHT if needed <= place.memory_bytes else Fit.NO
