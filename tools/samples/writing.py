"""Where the samples are put: two files of rows and one that describes them."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.domain.written.rows import Row
from tools.samples import brand_voice, faults, pii_masking, support_emails

SEED = "hone"
URGENCY_RULE = (
    "high: it names a deadline, money lost by waiting or anger, or begs for speed. low: it says that it can wait. normal: neither."
)


@dataclass(frozen=True)
class Sample:
    """A finished sample: its rows and what is said about it."""

    train: list[Row]
    test: list[Row]
    about: dict[str, Any] = field(default_factory=dict)


def support(rng: random.Random, told: random.Random) -> Sample:
    """Make the e-mails, with faults among those for training."""
    rows = support_emails.emails("train", TRAIN_EMAILS - faults.ADDED, rng)
    entries = faults.planted(rows, rng)
    lines = faults.lines_of(entries)
    about = {
        "title": "Support e-mails",
        "description": "E-mails to a small online shop. The answer names what each wants and how urgent it is.",
        "task": "E-mail in, intent and urgency out, as JSON",
        "intents": list(support_emails.INTENTS),
        "urgencies": list(support_emails.URGENCIES),
        "urgency_rule": URGENCY_RULE,
        "planted": {fault: len(found) for fault, found in lines.items()},
        "planted_lines": lines,
    }
    return Sample([entry.row for entry in entries], support_emails.emails("test", TEST_EMAILS, told), about)


def masking(rng: random.Random, told: random.Random) -> Sample:
    """Make the texts to be masked."""
    about = {
        "title": "Masking personal data",
        "description": "Short texts with names, numbers, addresses and accounts. The answer is the text with each replaced by its kind.",
        "task": "Text in, the same text with personal data masked, out",
        "masks": [f"[{kind}]" for kind in pii_masking.KINDS],
        "planted": {},
    }
    return Sample(pii_masking.texts("train", 600, rng), pii_masking.texts("test", 100, told), about)


def voice(rng: random.Random, told: random.Random) -> Sample:
    """Make the answers of the tea shop."""
    about = {
        "title": "A brand's voice",
        "description": "Questions to an invented tea shop with plain facts. The answer gives the facts in the shop's own warm voice.",
        "task": "Question and facts in, an answer in the shop's voice out",
        "rules": list(brand_voice.RULES),
        "planted": {},
    }
    return Sample(brand_voice.answers("train", 500, rng), brand_voice.answers("test", 80, told), about)


TRAIN_EMAILS, TEST_EMAILS = 700, 120

SAMPLES: dict[str, Callable[[random.Random, random.Random], Sample]] = {
    "support-emails": support,
    "pii-masking": masking,
    "brand-voice": voice,
}


def make(slug: str) -> Sample:
    """Make a sample; each half has dice of its own, so that a change to one leaves the other."""
    return SAMPLES[slug](random.Random(f"{SEED} {slug} train"), random.Random(f"{SEED} {slug} test"))  # noqa: S311 - dice, not secrets


def as_lines(rows: list[Row]) -> str:
    """Return rows as JSON lines."""
    return "".join(json.dumps(made, ensure_ascii=False) + "\n" for made in rows)


def write(slug: str, out: Path) -> Path:
    """Write a sample's three files and return their folder."""
    sample, folder = make(slug), out / slug
    folder.mkdir(parents=True, exist_ok=True)
    about = {"slug": slug, **sample.about, "rows": len(sample.train), "test_rows": len(sample.test), "licence": "CC0-1.0"}
    (folder / "train.jsonl").write_text(as_lines(sample.train), encoding="utf-8")
    (folder / "test.jsonl").write_text(as_lines(sample.test), encoding="utf-8")
    (folder / "sample.json").write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return folder
