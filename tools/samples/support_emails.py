"""Support e-mails of a small shop, each answered by its intent and urgency."""

from __future__ import annotations

import json
import random
from typing import Any

from app.domain.grammar import Pools, Turns, choose, fill, lists, sentence
from app.domain.written.rows import Row, row
from tools.samples.grammar import read, runs_of_words, words
from tools.samples.wear import worn

TASK = "Read the e-mail to the shop; answer its intent and urgency as JSON."
INTENTS = ("refund", "delivery", "damaged", "login", "invoice", "cancel", "change_order", "product_question")
URGENCIES = ("low", "normal", "high")
URGENCY_SHARES = (0.3, 0.4, 0.3)
FEWEST_WORDS, MOST_WORDS = 12, 80
MOST_SHARED = 0.45
"""Share of an e-mail's three-word runs that an earlier one may have; above it the two read like copies."""

PRICES = (8, 240)


def answer(intent: str, urgency: str) -> str:
    """Return the compact JSON that a row answers with."""
    return json.dumps({"intent": intent, "urgency": urgency})


class Writer:
    """Write e-mails from one half's sentences and words."""

    def __init__(self, half: str, rng: random.Random) -> None:
        sentences: dict[str, Any] = read(f"support_{half}")
        self.rng = rng
        self.words: Pools = lists(read("shop")[half])
        self.turns = {name: Turns(lines, rng) for name, lines in lists(sentences).items()}
        for intent in INTENTS:
            self.turns |= {f"{intent}.{part}": Turns(lines, rng) for part, lines in lists(sentences[intent]).items()}
        self.facts: dict[str, str] = {}
        self.passing: list[str] = []

    def settle(self) -> None:
        """Settle what one e-mail is about, so that its sentences agree; `passing` are products it names in passing."""
        rng, number = self.rng, self.rng.randint(20000, 89999)
        whole, cents = rng.randint(*PRICES), rng.choice(["", ".50", ".90", ".95"])
        product, product2, *self.passing = rng.sample(self.words["product"], 4)
        colour, colour2 = rng.sample(self.words["colour"], 2)
        self.facts = {
            "product": product, "product2": product2, "colour": colour, "colour2": colour2,
            "order": rng.choice([f"#{number}", f"HB-{number}", f"{number}"]),
            "money": rng.choice([f"£{whole}{cents}", f"€{whole}{cents}", f"${whole}{cents}", f"{whole} euros", f"{whole} pounds"]),
        }  # fmt: skip

    def word(self, slot: str) -> str:
        """Return what a slot is filled with."""
        if slot in self.facts:
            return self.facts[slot]
        if slot == "date":
            day, month = self.rng.randint(2, 28), self.rng.choice(self.words["month"])
            return self.rng.choice([f"{day} {month}", f"{month} {day}", f"{day}/{self.rng.randint(1, 12):02}"])
        if slot == "name":
            return f"{self.word('first')} {self.word('last')}"
        return str(self.rng.randint(100, 999)) if slot == "n" else self.rng.choice(self.words[slot])

    def say(self, pool: str, *, passing: bool = False) -> str:
        """Return the next sentence of a pool, filled."""
        template = choose(self.turns[pool].next(), self.rng)
        if passing:
            template = template.replace("{product}", self.passing.pop())
        return sentence(fill(template, self.word))

    def body(self, intent: str, urgency: str, *, terse: bool) -> str:
        """Return the e-mail's paragraph: what it is about, with more or less around it."""
        rng = self.rng
        said = [self.say("opening", passing=True)] if rng.random() < (0.2 if terse else 0.35) else []
        said.append(self.say(f"{intent}.core"))
        said += [self.say(f"{intent}.detail") for chance in ((0.4,) if terse else (0.8, 0.25)) if rng.random() < chance]
        if not terse and rng.random() < 0.1:  # noqa: PLR2004 - the shares are chosen, here and below
            said.append(self.say("aside", passing=True))
        if rng.random() < (0.1 if terse else 0.3):
            said.append(self.say("wish"))
        if urgency != "normal":
            said.insert(rng.choice([0, len(said), len(said)]), self.say(urgency))
        return " ".join(said)

    def email(self, intent: str, urgency: str) -> str:
        """Return one e-mail as it was typed."""
        self.settle()
        terse = self.rng.random() < 0.2  # noqa: PLR2004 - one in five is short
        body = self.body(intent, urgency, terse=terse)
        if terse and self.rng.random() < 0.5:  # noqa: PLR2004
            return worn(body, self.rng)
        signed = self.word(self.rng.choice(["name", "name", "first"]))
        return worn(f"{self.say('greeting')}\n\n{body}\n\n{self.say('closing')},\n{signed}", self.rng)


def emails(half: str, count: int, rng: random.Random) -> list[Row]:
    """Write `count` e-mails, all intents alike, none much like another."""
    writer, rows, seen = Writer(half, rng), list[Row](), list[set[tuple[str, ...]]]()
    while len(rows) < count:
        intent = INTENTS[len(rows) % len(INTENTS)]
        urgency = rng.choices(URGENCIES, URGENCY_SHARES)[0]
        text = writer.email(intent, urgency)
        runs = runs_of_words(text, 3)
        if not FEWEST_WORDS <= len(words(text)) <= MOST_WORDS or any(len(runs & other) > MOST_SHARED * len(runs) for other in seen):
            continue
        seen.append(runs)
        rows.append(row(TASK, text, answer(intent, urgency)))
    rng.shuffle(rows)
    return rows
