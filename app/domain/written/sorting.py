"""Messages to a town's office, each answered by the one matter it is about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.domain.grammar import lists
from app.domain.written.drawing import Lines, different
from app.domain.written.rows import Row, Words, row

if TYPE_CHECKING:
    import random

SYSTEM = "Sort the message to the town's office: answer with its label alone."


def rows(words: Words, count: int, rng: random.Random) -> list[Row]:
    """Write `count` messages, all labels alike."""
    shared = lists(words)
    lines = {label: Lines({**shared, "core": said}, rng) for label, said in lists(words["labels"]).items()}
    labels = sorted(lines)
    made = different(lambda number: _message(labels[number % len(labels)], lines, rng), count)
    rng.shuffle(made)
    return made


def _message(label: str, lines: dict[str, Lines], rng: random.Random) -> Row:
    own = lines[label]
    facts = {
        "n": str(rng.randint(2, 98)), "few": str(rng.randint(3, 7)), "late": f"{rng.choice([11, 12, 1, 2, 3])} at night",
        "early": rng.choice(["5", "half past 5", "6", "half past 6"]),
    }  # fmt: skip
    said = [own.say("core", facts)]
    opened = rng.random() < 0.6  # noqa: PLR2004 - the shares are chosen, here and below
    said[:0] = [own.say("opening", facts)] if opened else []
    said += [own.say("wish", facts)] if not opened or rng.random() < 0.5 else []  # noqa: PLR2004
    body = " ".join(said)
    if rng.random() < 0.3:  # noqa: PLR2004
        return row(SYSTEM, body, label)
    return row(SYSTEM, f"{own.draw('greeting', facts)}\n\n{body}\n\n{own.draw('closing', facts)}\n{own.draw('first', facts)}", label)
