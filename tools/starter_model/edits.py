"""Changes to a sentence that can be asked for: in other words, without a word, spelt right, in capitals, and so on."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from tools.starter_model.wordnet import Sense

Task = tuple[str, str, str]
NEIGHBOURS = dict(zip("qwertyuiopasdfghjklzxcvbnm", "wertyuiopqsdfghjklaxcvbnmz", strict=True))
"""The key to the right on a keyboard."""


def mistyped(rng: random.Random, text: str) -> str:
    """Return the text with a slip of the fingers in about every sixth word."""
    return " ".join(_slip(rng, word) if len(word) > 3 and rng.random() < 0.17 else word for word in text.split(" "))  # noqa: PLR2004


def _slip(rng: random.Random, word: str) -> str:
    at = rng.randrange(1, len(word) - 1)
    slip = rng.randrange(5)
    if slip == 0:
        return word[:at] + word[at + 1 :]
    if slip == 1:
        return word[:at] + word[at] + word[at:]
    if slip == 2:  # noqa: PLR2004
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    if slip == 3:  # noqa: PLR2004
        return word[:at] + NEIGHBOURS.get(word[at], word[at]) + word[at + 1 :]
    return word.lower()


def spelt_right(rng: random.Random, sense: Sense) -> Task:
    """Mend the spelling."""
    right = rng.choice(sense.examples)
    return rng.choice(["Correct the spelling.", "Spell this right.", "Mend the spelling mistakes."]), mistyped(rng, right), right


def in_other_words(rng: random.Random, sense: Sense) -> Task:
    """Say the sentence with a synonym."""
    text = rng.choice(sense.examples)
    for word in sense.words:
        others = [other for other in sense.words if other != word]
        if others and re.search(rf"\b{re.escape(word)}\b", text):
            said = re.sub(rf"\b{re.escape(word)}\b", rng.choice(others).replace("\\", ""), text, count=1)
            return rng.choice(["Say this in other words.", "Rephrase it.", "Use another word."]), text, said
    return "Repeat the text.", text, text


def replaced(rng: random.Random, sense: Sense) -> Task:
    """Put one thing in another's place."""
    words = rng.choice(sense.examples).split(" ")
    at, new = rng.randrange(len(words)), rng.choice([rng.choice(sense.words), f"[{sense.topic.upper()}]", "___"])
    return f'Replace "{words[at]}" by "{new}".', " ".join(words), " ".join(new if word == words[at] else word for word in words)


def without(rng: random.Random, sense: Sense) -> Task:
    """Leave a word out."""
    words = rng.choice(sense.examples).split(" ")
    gone = rng.choice(words)
    return f'Leave out "{gone}".', " ".join(words), " ".join(word for word in words if word != gone)


def in_capitals(rng: random.Random, sense: Sense) -> Task:
    """Change the case."""
    text = rng.choice(sense.examples)
    return rng.choice([("Write in capitals.", text, text.upper()), ("Write in small letters.", text, text.lower())])


def marked(rng: random.Random, sense: Sense) -> Task:
    """Find what belongs to the word asked for."""
    text = rng.choice(sense.examples)
    said = next((word for word in sense.words if word.lower() in text.lower()), None)
    return f'Which word of the text means "{sense.gloss}"?', text, said or "none"


def repeated(rng: random.Random, sense: Sense) -> Task:
    """Say it again, bare or dressed."""
    text = rng.choice(sense.examples)
    return rng.choice([("Repeat the text.", text, text), ("Put it in quotation marks.", text, f'"{text}"')])


EDITS: list[Callable[[random.Random, Sense], Task]] = [
    spelt_right, in_other_words, replaced, without, in_capitals, marked, repeated,
]  # fmt: skip
