"""Turn a folder of plain text into what the starter reads: stories, and small conversations about their sentences.

Every conversation is made from the text by a rule (continue it, repeat it, name its first word, answer as JSON …), so the
model learns what a turn is, to look at what it was asked about, and to stop. No other data goes in.
"""

from __future__ import annotations

import gzip
import json
import random
import re
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DOCUMENT_END = "<|endoftext|>"
SENTENCE = re.compile(r"(?<=[.!?])[\"”’]?\s+")
Message = dict[str, str]


def documents(folder: Path) -> list[str]:
    """Read every .txt and .txt.gz of `folder`; a document ends at `<|endoftext|>` or, in line files, at a line's end."""
    found: list[str] = []
    for path in sorted(folder.glob("*.txt*")):
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        text = raw.decode("utf-8", errors="replace")
        found += (part.strip() for part in text.split(DOCUMENT_END)) if DOCUMENT_END in text else paragraphs(text)
    if not found:
        message = f"No .txt or .txt.gz file in {folder}."
        raise FileNotFoundError(message)
    return [document for document in found if document]


def paragraphs(text: str) -> Iterator[str]:
    """Join a file of one page a line into pieces of about 2,000 characters."""
    piece: list[str] = []
    for line in text.splitlines():
        piece.append(line)
        if sum(map(len, piece)) > 2000:  # noqa: PLR2004 - about 500 tokens
            yield "\n".join(piece)
            piece = []
    yield "\n".join(piece)


def _continue(rng: random.Random, here: str, after: str) -> tuple[str, str]:
    ask = rng.choice(["Continue this story.", "What happens next?", "Go on from here:", "Tell me more."])
    return f"{ask}\n{here}", after


def _repeat(rng: random.Random, here: str, _after: str) -> tuple[str, str]:
    ask = rng.choice(["Repeat this sentence:", "Say it again:", "Copy this text:"])
    return f"{ask} {here}", here


def _first_word(_rng: random.Random, here: str, _after: str) -> tuple[str, str]:
    return f"What is the first word? {here}", here.split(maxsplit=1)[0]


def _last_word(_rng: random.Random, here: str, _after: str) -> tuple[str, str]:
    return f"What is the last word? {here}", here.rsplit(maxsplit=1)[-1].strip('.,!?"')


def _as_json(_rng: random.Random, here: str, _after: str) -> tuple[str, str]:
    words = here.split()
    answer = {"first": words[0], "last": words[-1].strip('.,!?"'), "words": len(words)}
    return f"Answer with JSON: first word, last word, number of words. {here}", json.dumps(answer, ensure_ascii=False)


def _which_word(rng: random.Random, here: str, after: str) -> tuple[str, str]:
    inside = set(here.lower().split())
    others = [word for word in after.lower().split() if word not in inside] or ["nothing"]
    right = rng.choice(sorted(inside))
    offered = [right, *rng.sample(others, min(3, len(others)))]
    rng.shuffle(offered)
    return f"Which of these words is in the text: {', '.join(offered)}?\n{here}", right


def _missing(rng: random.Random, here: str, _after: str) -> tuple[str, str]:
    words = here.split()
    place = rng.randrange(len(words))
    gap = " ".join([*words[:place], "___", *words[place + 1 :]])
    return f"{here}\nWhich word is missing? {gap}", words[place]


def _same(rng: random.Random, here: str, after: str) -> tuple[str, str]:
    other, answer = (here, "yes") if rng.random() < 0.5 else (after, "no")  # noqa: PLR2004 - a coin
    return f"Are these two the same? Answer yes or no.\n1. {here}\n2. {other}", answer


RULES: list[Callable[[random.Random, str, str], tuple[str, str]]] = [
    _continue, _repeat, _first_word, _last_word, _as_json, _which_word, _missing, _same,
]  # fmt: skip
SYSTEM = [
    "You are a helpful assistant.", "Answer in one line.", "Answer exactly.", "You read stories and answer questions about them.",
]  # fmt: skip


def conversations(texts: list[str], count: int, seed: int) -> Iterator[list[Message]]:
    """Yield `count` short conversations made from pairs of neighbouring sentences of `texts`."""
    rng = random.Random(seed)  # noqa: S311 - repeatable data, no secret
    made = 0
    while made < count:
        text = rng.choice(texts)
        start = rng.randrange(max(1, len(text) - 800))
        sentences = [s.strip() for s in SENTENCE.split(" ".join(text[start : start + 800].split()))[1:-1]]
        pairs = [(a, b) for a, b in pairwise(sentences) if _fits(a) and _fits(b)]
        if not pairs:
            continue
        user, assistant = rng.choice(RULES)(rng, *rng.choice(pairs))
        system = [{"role": "system", "content": rng.choice(SYSTEM)}] if rng.random() < 0.5 else []  # noqa: PLR2004
        yield [*system, {"role": "user", "content": user}, {"role": "assistant", "content": assistant}]
        made += 1


def _fits(sentence: str) -> bool:
    return 3 <= len(sentence.split()) <= 25  # noqa: PLR2004 - short enough to hold in mind
