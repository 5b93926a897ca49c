"""Rows to train on a GPU with, made of the bundled sample: a bare checkout has all that they need."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

Turns = list[dict[str, str]]
SAMPLE = Path(__file__).resolve().parents[1] / "samples" / "support-emails" / "train.jsonl"
LONG_CHARACTERS = 6_300
"""A little less than 2,048 tokens of the tokenizer that is learnt from these rows."""
EXAMPLES = 12


def _emails() -> list[Turns]:
    return [json.loads(line)["messages"] for line in SAMPLE.read_text(encoding="utf-8").splitlines()]


def short() -> Iterator[Turns]:
    """Give short chats as they are."""
    yield from cycle(_emails())


def long() -> Iterator[Turns]:
    """Give chats of many turns, each e-mail after the other."""
    emails = cycle(_emails())
    while True:
        chat, size = list(next(emails)), 0
        while size < LONG_CHARACTERS:
            more = next(emails)[1:]
            chat += more
            size += sum(len(turn["content"]) for turn in more)
        yield chat


def shared() -> Iterator[Turns]:
    """Give short chats behind one long system prompt, which shows how it is done."""
    emails = _emails()
    shown = "\n\n".join(f"{email[1]['content']}\n{email[2]['content']}" for email in emails[:EXAMPLES])
    system = {"role": "system", "content": f"{emails[0][0]['content']}\n\n{shown}"}
    for email in cycle(emails[EXAMPLES:]):
        yield [system, *email[1:]]


KINDS = {"short": short, "long": long, "shared": shared}


def write_rows(path: Path, kind: str, count: int) -> Path:
    """Write so many rows of a kind, a line each, and return the path."""
    path.write_text("".join(json.dumps({"messages": turns}) + "\n" for turns in islice(KINDS[kind](), count)), encoding="utf-8")
    return path
