"""What hurried people do to a text: typing slips, missing capitals, American spelling."""

from __future__ import annotations

import random
import re

from tools.samples.grammar import read

SHORTEST_SLIP = 5
"""Letters of the shortest word with a slip: in a shorter one it can make another word."""


def slip(word: str, rng: random.Random) -> str:
    """Swap, drop or double one inner letter."""
    at = rng.randrange(1, len(word) - 2)
    swapped = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return rng.choice([swapped, word[:at] + word[at + 1 :], word[:at] + word[at] + word[at:]])


def with_slips(text: str, count: int, rng: random.Random) -> str:
    """Return the text with typing slips in up to `count` plain words."""
    places = list(re.finditer(rf"\b[a-z]{{{SHORTEST_SLIP},}}\b", text))
    for place in sorted(rng.sample(places, min(count, len(places))), key=re.Match.start, reverse=True):
        text = text[: place.start()] + slip(place[0], rng) + text[place.end() :]
    return text


def american(text: str) -> str:
    """Return the text in American spelling."""
    spellings = read("spellings")["american"]
    return re.sub(r"\b[a-z]+\b", lambda found: str(spellings.get(found[0], found[0])), text)


def worn(text: str, rng: random.Random) -> str:
    """Return the text as one of several hands would have typed it."""
    if rng.random() < 0.4:  # noqa: PLR2004 - the shares of hands are chosen, here and below
        text = american(text)
    if rng.random() < 0.25:  # noqa: PLR2004
        text = with_slips(text, rng.choice([1, 1, 2]), rng)
    if rng.random() < 0.12:  # noqa: PLR2004
        text = text.lower()
    return text
