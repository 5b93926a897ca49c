"""Short texts, each answered by the same text with personal data masked."""

from __future__ import annotations

import random
from collections.abc import Callable

from app.domain.grammar import Pools, Turns, choose, fill, lists, sentence
from app.domain.written.rows import Row, row
from tools.samples import private
from tools.samples.grammar import read

TASK = "Mask personal data: [NAME], [EMAIL], [PHONE], [ID], [ADDRESS], [IBAN]."
KINDS = ("NAME", "EMAIL", "PHONE", "ID", "ADDRESS", "IBAN")
PLAIN_SHARE = 0.12
"""Share of texts with nothing to mask, so that a model learns to leave a text alone."""


class Writer:
    """Write texts from one half's sentences and words."""

    def __init__(self, half: str, rng: random.Random) -> None:
        self.rng = rng
        sentences = lists(read("masking")[half])
        self.masked, self.plain = Turns(sentences["masked"], rng), Turns(sentences["plain"], rng)
        self.words: Pools = lists(read("shop")[half])
        self.words |= {"street": sentences["street"], "iban": lists(read("private")["ibans"])[half]}
        self.made: dict[str, Callable[[], str]] = {
            "NAME": self.name, "EMAIL": self.email, "ID": self.identity, "ADDRESS": self.address, "IBAN": self.iban,
            "PHONE": lambda: private.phone(rng), "n": lambda: str(rng.randint(2, 60)),
            "hour": lambda: f"{rng.randint(7, 19)}:{rng.choice(['00', '15', '30', '45'])}",
            "money": lambda: rng.choice(["£{}", "€{}", "${}", "{} euros"]).format(rng.randint(3, 900)),
        }  # fmt: skip

    def word(self, slot: str) -> str:
        """Return what a slot is filled with."""
        return self.made[slot]() if slot in self.made else self.rng.choice(self.words[slot])

    def name(self) -> str:
        """Return a person's name, mostly in full."""
        first, last = self.word("first"), self.word("last")
        return self.rng.choice([f"{first} {last}", f"{first} {last}", f"{first} {last}", first])

    def email(self) -> str:
        """Return an address."""
        return private.email(self.word("first"), self.word("last"), self.rng)

    def identity(self) -> str:
        """Return a number that stands for one person."""
        number = self.rng.randint(10000, 99999999)
        letters = "".join(self.rng.sample("ABCDEFGHKLMNPRSTUVWXYZ", 2))
        return self.rng.choice([f"{number}", f"{letters}{number}", f"{letters}-{number}", f"{number % 1000:03}-{number % 997:03}"])

    def address(self) -> str:
        """Return where somebody lives."""
        house = f"{self.rng.randint(1, 180)} {self.word('street')}"
        return self.rng.choice([f"{house}, {self.word('town')}", f"{house}, {self.rng.randint(1000, 99999):05} {self.word('town')}"])

    def iban(self) -> str:
        """Return an account, with or without gaps."""
        written = self.word("iban")
        return self.rng.choice([written, written.replace(" ", "")])

    def pair(self) -> tuple[str, str]:
        """Return a text and the same text masked; plain sentences are alike in both."""
        rng = self.rng
        bare = rng.random() < PLAIN_SHARE
        templates = (
            [self.plain] * rng.choice([1, 2, 3]) if bare else [self.masked] * rng.choice([1, 1, 2]) + [self.plain] * rng.choice([0, 1])
        )
        rng.shuffle(templates)
        text, masked = [], []
        for turns in templates:
            drawn = fill(choose(turns.next(), rng), lambda slot: "{" + slot + "}" if slot in KINDS else self.word(slot))
            text.append(sentence(fill(drawn, self.word)))
            masked.append(sentence(fill(drawn, lambda slot: f"[{slot}]")))
        return " ".join(text), " ".join(masked)


def texts(half: str, count: int, rng: random.Random) -> list[Row]:
    """Write `count` texts, none of them twice."""
    writer, pairs = Writer(half, rng), dict[str, str]()
    while len(pairs) < count:
        text, masked = writer.pair()
        pairs[text] = masked
    return [row(TASK, text, masked) for text, masked in pairs.items()]
