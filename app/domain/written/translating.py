"""Messages of a small hotel, English in and German out."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from app.domain.grammar import SLOT, Turns, fill, lists
from app.domain.written.drawing import TRIES
from app.domain.written.rows import Row, Words, row

if TYPE_CHECKING:
    import random

SYSTEM = "Translate the message into German."
NAMES = ("Berger", "Okafor", "Lindqvist", "Marino", "Novak", "Dubois", "Tanaka", "Kowalska", "Haddad", "Fischer", "Moreau", "Silva")


class Pair(NamedTuple):
    """The same words in both languages."""

    english: str
    german: str


def rows(words: Words, count: int, rng: random.Random) -> list[Row]:
    """Write `count` messages of two or three sentences; which stand together is never the same twice."""
    pools = {name: [_pair(line) for line in lines] for name, lines in lists(words).items()}
    turns = Turns(words["sentences"].strip().splitlines(), rng)

    said_before: set[frozenset[str]] = set()
    found: list[Row] = []
    for _ in range(TRIES * count):
        if len(found) == count:
            break
        lines = list(dict.fromkeys(turns.next() for _ in range(rng.choice([2, 2, 3]))))
        if frozenset(lines) not in said_before:
            said_before.add(frozenset(lines))
            found.append(_message([_filled(_pair(line), pools, rng) for line in lines]))
    return found


def _message(said: list[Pair]) -> Row:
    return row(SYSTEM, " ".join(pair.english for pair in said), " ".join(pair.german for pair in said))


def _pair(line: str) -> Pair:
    english, german = line.split(" = ")
    return Pair(english, german)


def _filled(template: Pair, pools: dict[str, list[Pair]], rng: random.Random) -> Pair:
    """Fill both sides with the same."""
    drawn = {slot: _drawn(slot, pools, rng) for slot in SLOT.findall(template.english)}
    if "day2" in drawn:
        drawn["day"], drawn["day2"] = (pools["day"][at] for at in rng.sample(range(len(pools["day"])), 2))
    return Pair(fill(template.english, lambda slot: drawn[slot].english), fill(template.german, lambda slot: drawn[slot].german))


def _drawn(slot: str, pools: dict[str, list[Pair]], rng: random.Random) -> Pair:
    if slot == "date":
        number, month = rng.randint(1, 28), rng.choice(pools["month"])
        return Pair(f"{number} {month.english}", f"{number}. {month.german}")
    if slot in pools:
        return rng.choice(pools[slot])
    made = {
        "n": str(rng.randint(12, 48)), "few": str(rng.randint(3, 9)), "number": str(rng.randint(2000, 9999)), "name": rng.choice(NAMES),
        "time": f"{rng.randint(6, 22)}:{rng.choice(['00', '15', '30', '45'])}", "day2": "",
    }[slot]  # fmt: skip
    return Pair(made, made)
