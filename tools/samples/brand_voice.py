"""Questions to an invented tea shop, each answered from plain facts in the shop's own voice."""

from __future__ import annotations

import random
from typing import Any

from app.domain.grammar import Pools, Turns, fill, lists, sentence
from app.domain.written.rows import Row, row
from tools.samples.grammar import read

TASK = "Answer in the voice of Quillbrook Teas, from the facts."
SIGN_OFF = "Warm cups, Quillbrook"
RULES = (
    "Two sentences: a warm welcome, then the fact that was asked for.",
    f"After them a line of its own: “{SIGN_OFF}”.",
    "The shop is “we”, never “I”; whoever asks is “friend” or “you”, never “customer”.",
    "A parcel is a “little box”.",
    "Every figure comes from the facts, and none is added.",
    "No exclamation marks, no “unfortunately”, no “policy”.",
)
TOPICS = (
    "shipping", "returns", "gift", "caffeine", "storage", "brewing",
    "refill", "hours", "allergy", "subscription", "samples", "tins",
)  # fmt: skip
COLOURS, METALS = ("blue", "green", "red", "striped", "golden"), ("steel", "aluminium", "tinplate")
ALLERGENS = ("almonds", "hazelnuts", "milk powder", "mustard seeds", "soy", "oats")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Sunday")


def figures(tea: list[str], rng: random.Random) -> dict[str, str]:
    """Return one value for every slot, so that question, facts and answer agree."""
    return {
        "tea": rng.choice(tea), "wait": str(rng.randint(2, 9)), "days": str(rng.randint(10, 60)),
        "months": str(rng.randint(2, 24)), "n": str(rng.randint(3, 12)),
        "money": f"£{rng.randint(1, 9)}.{rng.choice(['00', '20', '50', '80', '95'])}", "mg": str(rng.randint(2, 90)),
        "degrees": str(rng.randrange(60, 101, 5)), "minutes": str(rng.randint(2, 12)),
        "open": f"{rng.randint(7, 11)}:{rng.choice(['00', '30'])}", "close": f"{rng.randint(16, 20)}:{rng.choice(['00', '30'])}",
        "colour": rng.choice(COLOURS), "metal": rng.choice(METALS), "allergen": rng.choice(ALLERGENS), "day": rng.choice(DAYS),
    }  # fmt: skip


def answers(half: str, count: int, rng: random.Random) -> list[Row]:
    """Write `count` questions with facts and answers, all topics alike, none twice."""
    voice: dict[str, Any] = read("voice")
    tea, said = lists(voice["words"][half])["tea"], turns_of(lists(voice["answers"]), rng)
    asked = {topic: turns_of(lists(voice[half][topic]), rng) for topic in TOPICS}
    made = dict[str, Row]()
    while len(made) < count:
        topic, known = TOPICS[len(made) % len(TOPICS)], figures(tea, rng)
        question, facts, answer = (
            sentence(fill(turns.next(), known.__getitem__)) for turns in (asked[topic]["question"], asked[topic]["facts"], said[topic])
        )
        user = f"Question: {question}\nFacts: {facts}"
        made[user] = row(TASK, user, f"{said['welcome'].next()} {answer}\n{SIGN_OFF}")
    rows = list(made.values())
    rng.shuffle(rows)
    return rows


def turns_of(pools: Pools, rng: random.Random) -> dict[str, Turns]:
    """Return each pool's lines in turns."""
    return {name: Turns(lines, rng) for name, lines in pools.items()}
