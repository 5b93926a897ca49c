"""What the writers of texts have in common: pools of lines in turns, and rows of which none comes twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.domain.grammar import Pools, Turns, choose, fill, sentence

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping

    from app.domain.written.rows import Row

TRIES = 20
"""How often a row is written anew when it has come before, on the average, until there are said to be no more."""


class Lines:
    """Pools of lines, each drawn in turns, whose slots are filled from `facts` or by drawing from the pool of that name."""

    def __init__(self, pools: Pools, rng: random.Random) -> None:
        self.rng = rng
        self._turns = {name: Turns(lines, rng) for name, lines in pools.items()}

    def draw(self, pool: str, facts: Mapping[str, str]) -> str:
        """Return the next line of a pool with its choices settled and its slots filled."""
        return fill(choose(self._turns[pool].next(), self.rng), lambda slot: self._word(slot, facts))

    def say(self, pool: str, facts: Mapping[str, str]) -> str:
        """Return the next line of a pool as a sentence."""
        return sentence(self.draw(pool, facts))

    def _word(self, slot: str, facts: Mapping[str, str]) -> str:
        return facts[slot] if slot in facts else self.draw(slot, facts)


def different(write: Callable[[int], Row], count: int) -> list[Row]:
    """Return `count` rows of which no question comes twice, or as many as there are."""
    found: dict[str, Row] = {}
    for _ in range(TRIES * count):
        if len(found) == count:
            break
        made = write(len(found))
        found.setdefault(made["messages"][1]["content"], made)
    return list(found.values())
