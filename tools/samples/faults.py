"""Faults put into the training e-mails on purpose, so that checks of a dataset have something to find."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass

from app.domain.grammar import Turns, fill, lists
from app.domain.written.rows import Row, answered, asked, row
from tools.samples import private
from tools.samples.grammar import read, words
from tools.samples.support_emails import MOST_WORDS, TASK, answer
from tools.samples.wear import with_slips

EXACT, NEAR, PERSONAL = 12, 10, {"email": 20, "phone": 20, "iban": 10, "card": 10}
BROKEN = ("Sent from my phone", "Hello,\n\nI am writing to you because last")
ADDED = EXACT + NEAR + len(BROKEN)
"""Rows that faults add; the other faults change rows that are there."""

WORDS_OF_A_PRIVATE_SENTENCE = 15
ROOM = 30
"""Words from which on a small change leaves an e-mail nearly the same."""

SPENDING = ("refund", "invoice", "cancel")
"""Intents with which somebody may well name an account."""


@dataclass(eq=False)
class Entry:
    """A row, what is wrong with it, and the entry it repeats."""

    row: Row
    fault: str | None = None
    twin: Entry | None = None


def intent_of(made: Row) -> str:
    """Return the intent that a row answers."""
    return str(json.loads(answered(made))["intent"])


def with_user(made: Row, text: str) -> Row:
    """Return the row with another e-mail."""
    return row(TASK, text, answered(made))


def planted(rows: list[Row], rng: random.Random) -> list[Entry]:
    """Return the rows with all faults among them, shuffled."""
    entries = [Entry(made) for made in rows]
    add_personal_data(entries, rng)
    mislabel(next(entry for entry in entries if entry.fault is None and "password" in asked(entry.row)))
    sound = [entry for entry in entries if entry.fault is None]
    copied = rng.sample(sound, EXACT)
    changed = rng.sample([entry for entry in sound if entry not in copied and len(words(asked(entry.row))) > ROOM], NEAR)
    added = [Entry(entry.row, "exact_duplicates", entry) for entry in copied]
    added += [Entry(nearly(entry.row, at, rng), "near_duplicates", entry) for at, entry in enumerate(changed)]
    added += [Entry(row(TASK, text, answer("delivery", "normal")), "broken_emails") for text in BROKEN]
    entries += added
    rng.shuffle(entries)
    return entries


def mislabel(entry: Entry) -> None:
    """Answer a mail about a password as if it asked for a refund."""
    entry.row = row(TASK, asked(entry.row), answer("refund", json.loads(answered(entry.row))["urgency"]))
    entry.fault = "wrong_labels"


def nearly(made: Row, way: int, rng: random.Random) -> Row:
    """Return the row with one small change: a slip, shouting, a line below, or other marks."""
    text = asked(made)
    ways = (with_slips(text, 1, rng), text.replace(".", "!"), f"{text}\n\nPS: sorry if this comes twice.", text.replace(". ", ".  "))
    return with_user(made, ways[way % len(ways)])


def add_personal_data(entries: list[Entry], rng: random.Random) -> None:
    """Put one sentence with somebody's data into sixty e-mails."""
    sentences = {kind: Turns(lines, rng) for kind, lines in lists(read("private")["sentences"]).items()}
    made = makers(rng)
    for kind, count in PERSONAL.items():
        fit = [entry for entry in entries if entry.fault is None and (kind in {"email", "phone"} or intent_of(entry.row) in SPENDING)]
        short = [entry for entry in fit if len(words(asked(entry.row))) <= MOST_WORDS - WORDS_OF_A_PRIVATE_SENTENCE]
        for entry in rng.sample(short, count):
            said = fill(sentences[kind].next(), lambda slot: made[slot]())
            entry.row, entry.fault = with_user(entry.row, with_sentence(asked(entry.row), said)), "personal_data"


def makers(rng: random.Random) -> dict[str, Callable[[], str]]:
    """Return what makes each kind of personal data."""
    shop, known = lists(read("shop")["train"]), read("private")
    cards, ibans = lists(known["cards"])["number"], lists(known["ibans"])["train"]
    return {
        "email": lambda: private.email(rng.choice(shop["first"]), rng.choice(shop["last"]), rng),
        "phone": lambda: private.phone(rng),
        "iban": lambda: rng.choice(ibans),
        "card": lambda: rng.choice(cards),
    }


def with_sentence(text: str, said: str) -> str:
    """Return the text with a sentence at the end of its body, before the closing."""
    body, gap, closing = text.rpartition("\n\n")
    return f"{body} {said}{gap}{closing}" if gap else f"{text} {said}"


def lines_of(entries: list[Entry]) -> dict[str, list[int] | list[list[int]]]:
    """Return the lines where each fault stands, counted from 1; a duplicate gives both lines of the pair."""
    at = {id(entry): line for line, entry in enumerate(entries, 1)}
    pairs = {fault: sorted(sorted([at[id(e)], at[id(e.twin)]]) for e in entries if e.fault == fault) for fault in DOUBLES}
    single = {fault: sorted(at[id(e)] for e in entries if e.fault == fault) for fault in SINGLES}
    return {**pairs, **single}


DOUBLES = ("exact_duplicates", "near_duplicates")
SINGLES = ("personal_data", "wrong_labels", "broken_emails")
