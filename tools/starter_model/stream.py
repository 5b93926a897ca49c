"""Turn texts, the dictionary and the conversations made from them into three streams of tokens."""

from __future__ import annotations

import os
import random
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING

import numpy as np
from transformers import PreTrainedTokenizerFast

from tools.starter_model.corpus import conversations, documents
from tools.starter_model.overlap import is_apart
from tools.starter_model.word_tasks import Lexicon, entries, lesson, task
from tools.starter_model.wordnet import senses

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

PIECE = 8000
"""Characters of a book that are kept together."""
CHUNK = 8000
"""Conversations that one process makes at a time."""
SHARES = {"text": 0.25, "dictionary": 0.15, "chats": 0.6}
"""How often a training row is taken from each stream."""


@dataclass(frozen=True)
class Sources:
    """Where the words come from."""

    text: Path
    wordnet: Path
    samples: Path
    """The sample datasets, of which nothing may be read."""


def read_sources(sources: Sources) -> tuple[list[str], list[str]]:
    """Return the documents and the dictionary's entries."""
    return documents(sources.text), entries(_lexicon(sources.wordnet))


@lru_cache(maxsize=1)
def _lexicon(wordnet: Path) -> Lexicon:
    return Lexicon(senses(wordnet))


@lru_cache(maxsize=1)
def _documents(text: Path) -> list[str]:
    return documents(text)


@lru_cache(maxsize=1)
def _tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    tokenizer: PreTrainedTokenizerFast = PreTrainedTokenizerFast.from_pretrained(folder)
    return tokenizer


def make_streams(sources: Sources, tokenizer: Path, chats: int, seed: int) -> dict[str, np.ndarray]:
    """Return the streams of SHARES as arrays of token ids; every document and every few conversations end with `<|endoftext|>`."""
    written, dictionary = read_sources(sources)
    cut = (document[at : at + PIECE] for document in written for at in range(0, len(document), PIECE))
    pieces = [piece for piece in cut if is_apart(piece, sources.samples)]
    dictionary = [entry for entry in dictionary if is_apart(entry, sources.samples)]
    rng = np.random.default_rng(seed)
    rng.shuffle(pieces)
    rng.shuffle(dictionary)
    fast = _tokenizer(tokenizer)
    streams = {"text": tokens(fast, pieces), "dictionary": tokens(fast, dictionary)}
    make = partial(chat_tokens, sources, tokenizer)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        streams["chats"] = np.concatenate(list(pool.map(make, range(seed, seed + -(-chats // CHUNK)))))
    return streams


def chat_tokens(sources: Sources, tokenizer: Path, seed: int) -> np.ndarray:
    """Return CHUNK conversations as tokens: a quarter about sentences of the texts, the rest about words, some of those as lessons."""
    rng = random.Random(seed)  # noqa: S311 - repeatable data, no secret
    fast, lexicon = _tokenizer(tokenizer), _lexicon(sources.wordnet)
    chats = list(conversations(_documents(sources.text), CHUNK // 4, seed))
    chats += [lesson(rng, lexicon) if rng.random() < 0.25 else task(rng, lexicon) for _ in range(CHUNK - len(chats))]  # noqa: PLR2004 - a lesson is long
    rng.shuffle(chats)
    apart = (chat for chat in chats if all(is_apart(turn["content"], sources.samples) for turn in chat))
    lines = [str(fast.apply_chat_template(chat, tokenize=False)) for chat in apart]
    return tokens(fast, ("".join(lines[at : at + 4]) for at in range(0, len(lines), 4)))


def tokens(tokenizer: PreTrainedTokenizerFast, texts: Iterable[str]) -> np.ndarray:
    """Return the texts one after the other, `<|endoftext|>` between them."""
    return np.fromiter(_ids(tokenizer, list(texts)), dtype=np.uint16)


def _ids(tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> Iterator[int]:
    for at in range(0, len(texts), 512):
        for encoded in tokenizer.backend_tokenizer.encode_batch(texts[at : at + 512]):
            yield from encoded.ids
            yield tokenizer.pad_token_id


def batch_at(streams: dict[str, np.ndarray], step: int, *, size: int, length: int) -> np.ndarray:
    """Return step `step`'s rows, int64 of shape (size // length, length + 1): each from a stream at its share, at a random place."""
    rng = np.random.default_rng(step)
    names = rng.choice(list(SHARES), p=list(SHARES.values()), size=max(1, size // length))
    rows = []
    for name in names:
        stream = streams[name]
        start = rng.integers(0, len(stream) - length - 1)
        rows.append(stream[start : start + length + 1])
    return np.stack(rows).astype(np.int64)
