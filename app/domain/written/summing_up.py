"""Notes of a working day, each answered by two sentences that keep what happened, why, and who does what by when."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.domain.grammar import lists
from app.domain.written.drawing import Lines, different
from app.domain.written.rows import Row, Words, row

if TYPE_CHECKING:
    import random

SYSTEM = "Sum up the note in two sentences: what happened and why, then who does what by when."
SETTLED = ("site", "team", "day")
OWN = ("matter", "goods", "cause", "next")
"""What is drawn once for each note, so that note and summary agree; a matter may stand in the others, so it comes first."""


def rows(words: Words, count: int, rng: random.Random) -> list[Row]:
    """Write `count` notes with their summaries, all kinds of notes alike."""
    shared = lists(words)
    kinds = {name: Lines({**shared, **lists(table)}, rng) for name, table in words.items() if isinstance(table, dict)}
    own = {name: [pool for pool in OWN if pool in words[name]] for name in kinds}
    names = sorted(kinds)

    def write(number: int) -> Row:
        name = names[number % len(names)]
        return _note(kinds[name], own[name], words, rng)

    made = different(write, count)
    rng.shuffle(made)
    return made


def _note(lines: Lines, own: list[str], words: Words, rng: random.Random) -> Row:
    who, who2 = rng.sample(words["who"].split(), 2)
    start = rng.randint(6, 16)
    facts = {
        "who": who, "who2": who2, "n": str(rng.randint(12, 60)), "n2": str(rng.randint(61, 90)), "few": str(rng.randint(4, 9)),
        "start": f"{start}:{rng.choice(MINUTES)}", "end": f"{start + rng.randint(1, 5)}:{rng.choice(MINUTES)}",
        "due": f"{rng.randint(2, 28)} {rng.choice(MONTHS)}",
    }  # fmt: skip
    for name in (*SETTLED, *own):
        facts[name] = lines.draw(name, facts)
    facts |= {"Site": facts["site"][:1].upper() + facts["site"][1:], "Team": facts["team"][:1].upper() + facts["team"][1:]}
    return row(SYSTEM, _told(lines, facts, rng), lines.say("summary", facts))


def _told(lines: Lines, facts: dict[str, str], rng: random.Random) -> str:
    """Return the note: what counts in its order, and other things between."""
    told = [lines.say("happened", facts), lines.say("told_cause", facts), lines.say("detail", facts)]
    told += [lines.say("detail", facts)] if rng.random() < 0.5 else []  # noqa: PLR2004 - every second note has two
    told.append(f"{facts['next']}.")
    for _ in range(rng.choice([1, 2, 2, 3])):
        told.insert(rng.randint(0, len(told)), lines.say("aside", facts))
    return " ".join(told)


MINUTES = ("05", "10", "15", "20", "30", "40", "45", "50")
MONTHS = ("January", "February", "March", "April", "May", "June", "July", "September", "October", "November")
