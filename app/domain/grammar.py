"""A small grammar: templates with choices `[a|b]` and slots `{word}`, and pools of lines that are drawn in turns."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import random

CHOICE = re.compile(r"\[([^\[\]]*)\]")
SLOT = re.compile(r"\{(\w+)\}")

Pools = dict[str, list[str]]
Fill = Callable[[str], str]


def lists(table: Mapping[str, Any]) -> Pools:
    """Return a table's texts as lists of their lines; tables within it are left out."""
    return {name: text.strip().splitlines() for name, text in table.items() if isinstance(text, str)}


def choose(template: str, rng: random.Random) -> str:
    """Settle every `[a|b]`, the innermost first."""
    while CHOICE.search(template):
        template = CHOICE.sub(lambda found: rng.choice(found[1].split("|")), template)
    return template


def fill(template: str, word_for: Fill) -> str:
    """Put a word into every slot."""
    return SLOT.sub(lambda found: word_for(found[1]), template)


class Turns:
    """Give a pool's lines in shuffled rounds, so that none is rare and none comes twice in a row."""

    def __init__(self, lines: list[str], rng: random.Random) -> None:
        self._lines, self._rng = lines, rng
        self._left: list[str] = []

    def next(self) -> str:
        """Return the next line."""
        if not self._left:
            self._left = self._rng.sample(self._lines, len(self._lines))
        return self._left.pop()


def sentence(text: str) -> str:
    """Write the first letter large, as a slot may have put a small one there."""
    return text[:1].upper() + text[1:]
