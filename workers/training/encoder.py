"""Text to tokens, each piece of it once: where a tokenizer is known to cut, it is given what stands between the cuts.

Special tokens are taken out of a text before anything else looks at it, so what stands between two of them is tokenised alone. In the
vocabularies of bytes that most bases have, no token reaches from a visible character over a space either, so there the pieces are words,
and most words of a row have been seen before.
"""

from __future__ import annotations

import json
import re
from itertools import chain, cycle
from typing import TYPE_CHECKING, Any

import numpy as np
from tokenizers.pre_tokenizers import ByteLevel

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tokenizers import Tokenizer

    from workers.training.turns import Span

Packed = bytes
"""Tokens side by side, four bytes each, as numpy holds them."""
TOKEN_BYTES = 4
MOST_WORDS = 200_000
LONGEST_WORD, LONGEST_LEARNT = 48, 100_000
MOST_CHARACTERS = 4_000_000
"""Of texts between special tokens that are remembered: system prompts, and what a template writes."""
VISIBLE = re.compile(r"[!-~\u00a1-\u00ac\u00ae-\u024f]")
"""Characters that are no white space in any version of Unicode, nor join with what follows."""
ALTERNATIVES = frozenset({
    "'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "(?i:'s|'t|'re|'ve|'m|'ll|'d)",
    r" ?\p{L}+", r" ?\p{N}+", r" ?[^\s\p{L}\p{N}]+", r"\s+(?!\S)", r"\s+",
    r"[^\r\n\p{L}\p{N}]?\p{L}+", r"\p{N}", r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n]*", r" ?[^\s\p{L}\p{N}]+[\r\n/]*", r"\s*[\r\n]+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*",
})  # fmt: skip
"""What GPT-2, Llama 3, Qwen, GPT-4o and Tekken match: in each of these white space stands at the beginning or is all there is, and none
looks behind; so a visible character and the space after it are never in one match, and what matches on one side of them is the same
whatever stands on the other."""
TOP_LEVEL = re.compile(r"(?:\[[^\]]*\]|\((?:\[[^\]]*\]|[^()])*\)|[^|])+")


class _NoCut(Exception):
    """White space stands where a word should end."""


class _Words(dict[str, Packed]):
    """The tokens of words, each with the space before it, by the word without it."""

    def __init__(self, backend: Tokenizer) -> None:
        super().__init__()
        self._backend = backend

    def __missing__(self, word: str) -> Packed:
        if not VISIBLE.fullmatch(word[-1:]):
            raise _NoCut
        tokens = _packed(self._backend, f" {word}")
        if len(word) <= LONGEST_WORD:
            if len(self) >= MOST_WORDS:
                self.clear()
            self[word] = tokens
        return tokens

    def learn(self, words: Iterable[str], between: str) -> None:
        """Take in words at once, which is faster than one by one; `between` is a special token that is in none of them."""
        new = [word for word in words if len(word) <= LONGEST_WORD and VISIBLE.fullmatch(word[-1:])][: MOST_WORDS - len(self)]
        if not new:
            return
        border = self._backend.token_to_id(between)
        ids = np.asarray(
            self._backend.encode_batch_fast([between.join(f" {word}" for word in new)], add_special_tokens=False)[0].ids, np.int32
        )
        ends = [*np.flatnonzero(ids == border).tolist(), len(ids)]
        first = 0
        for word, end in zip(new, ends, strict=True):
            self[word] = ids[first:end].tobytes()
            first = end + 1


class Encoder:
    """Tokenises texts of one tokenizer exactly as it would itself, remembering what it has seen."""

    def __init__(self, backend: Tokenizer, *, between_words: bool) -> None:
        self._backend = backend
        self.words = _Words(backend) if between_words else None
        added = backend.get_added_tokens_decoder()
        self._special = {token.content: np.int32(number).tobytes() for number, token in added.items() if not token.normalized}
        longest_first = sorted(self._special, key=len, reverse=True)
        self._cut = re.compile(f"({'|'.join(map(re.escape, longest_first)) or '(?!)'})")
        self.known: dict[str, Packed] = {}
        self._characters = 0
        self._composes = backend.normalizer is not None

    @classmethod
    def of(cls, backend: Tokenizer) -> Encoder | None:
        """Return an encoder; None for a tokenizer of a kind for which nobody has shown that texts may be cut."""
        if backend.encode_special_tokens or backend.model.__class__.__name__ != "BPE" or backend.model.dropout:
            return None
        added = backend.get_added_tokens_decoder().values()
        if any(token.lstrip or token.rstrip or token.single_word or not token.content for token in added):
            return None
        if _is_of_bytes(backend):
            return cls(backend, between_words=_cuts_before_spaces(backend) and not any(token.normalized for token in added))
        return cls(backend, between_words=False) if _is_of_characters(backend) else None

    @property
    def cuts_words(self) -> bool:
        """Whether texts are cut between words, not only between special tokens."""
        return self.words is not None

    def learn(self, texts: Iterable[str]) -> None:
        """Look at texts to come, and tokenise at once the words in them that are new."""
        if self.words is None or not self._special:
            return
        words = set(chain.from_iterable(text.split(" ") for text in texts if len(text) <= LONGEST_LEARNT))
        new = words.difference(self.words)
        self.words.learn([word for word in new if not self._cut.search(word)], next(iter(self._special)))

    def row(self, text: str, spans: Sequence[Span]) -> tuple[Packed, list[Span]] | None:
        """Return the tokens of a text, and which of them are those of the spans, in order; None where a border needs a closer look.

        Each span ends with a special token, and the tokens before it are those of the text before it: its prompt as a chat has it.
        """
        tokens: list[Packed] = []
        found: list[Span] = []
        place = count = first = 0
        todo = iter(spans)
        start, end = next(todo, (-1, -1))
        for is_special, part in zip(cycle((False, True)), self._cut.split(text), strict=False):
            packed = self._special[part] if is_special else self._tokens(part)
            stop = place + len(part)
            if place <= start < stop:
                before = self._before(part, start - place, packed, is_special=is_special)
                if before is None:
                    return None
                first = count + before
            tokens.append(packed)
            count += len(packed) // TOKEN_BYTES
            if stop == end:
                found.append((first, count))
                start, end = next(todo, (-1, -1))
            place = stop
        return (b"".join(tokens), found) if len(found) == len(spans) else None

    def _before(self, part: str, border: int, packed: Packed, *, is_special: bool) -> int | None:
        """Return how many tokens of a part stand before a border in it; None where a token may straddle it."""
        if border == 0:
            return 0
        # An accent may join the letter before it.
        if is_special or (self._composes and not part[border].isascii()):
            return None
        before = self._tokens(part[:border])
        return len(before) // TOKEN_BYTES if packed.startswith(before) else None

    def _tokens(self, text: str) -> Packed:
        """Return the tokens of a text without special tokens."""
        known = self.known.get(text)
        if known is not None:
            return known
        tokens = self._of_words(text, self.words) if self.words is not None and " " in text else _packed(self._backend, text)
        self._characters += len(text)
        if self._characters > MOST_CHARACTERS:
            self.known.clear()
            self._characters = len(text)
        self.known[text] = tokens
        return tokens

    def _of_words(self, text: str, known: _Words) -> Packed:
        begin, *words, last = text.split(" ")
        if begin and not VISIBLE.fullmatch(begin[-1]):
            return _packed(self._backend, text)
        try:
            inner = b"".join(map(known.__getitem__, words))
        except _NoCut:
            return _packed(self._backend, text)
        try:
            return self._tokens(begin) + inner + known[last]
        except _NoCut:  # nothing comes behind it, so it need not end like a word
            return self._tokens(begin) + inner + _packed(self._backend, f" {last}")


def _packed(backend: Tokenizer, text: str) -> Packed:
    return np.asarray(backend.encode(text, add_special_tokens=False).ids, dtype=np.int32).tobytes()


def _is_of_bytes(backend: Tokenizer) -> bool:
    """Return whether each token stands for the same bytes wherever it is, so that equal tokens are equal text."""
    steps = _steps(backend.pre_tokenizer)
    last = steps[-1] if steps else {}
    return (
        all(step["type"] == "NFC" for step in _steps(backend.normalizer))
        and last.get("type") == "ByteLevel"
        and all(step["type"] in {"ByteLevel", "Split", "Digits"} and not step.get("add_prefix_space") for step in steps)
        and all(backend.token_to_id(letter) is not None for letter in ByteLevel.alphabet())
    )


def _is_of_characters(backend: Tokenizer) -> bool:
    """Return the same of vocabularies of characters in which a space is one of its own, as SentencePiece makes them."""
    return (
        backend.model.byte_fallback
        and all(
            step["type"] == "Prepend" or (step["type"] == "Replace" and step["pattern"] == {"String": " "} and len(step["content"]) == 1)
            for step in _steps(backend.normalizer)
        )
        and all(step["type"] == "Split" and step["pattern"] == {"String": " "} for step in _steps(backend.pre_tokenizer))
        and all(backend.token_to_id(f"<0x{byte:02X}>") is not None for byte in range(256))
    )


def _cuts_before_spaces(backend: Tokenizer) -> bool:
    """Return whether a visible character and a space behind it are always in different tokens, and neither changes the other's."""
    steps = _steps(backend.pre_tokenizer)
    splits = [step for step in steps if step["type"] == "Split"]
    return all(map(_is_known, splits)) and (bool(splits) or any(step.get("use_regex") for step in steps))


def _is_known(split: dict[str, Any]) -> bool:
    pattern = split["pattern"].get("Regex", "|")
    keeps_all = (split["behavior"], split["invert"]) in {("Isolated", False), ("Removed", True)}
    return keeps_all and set(TOP_LEVEL.findall(pattern)) <= ALTERNATIVES and "||" not in pattern


def _steps(component: Any) -> list[dict[str, Any]]:
    """Return what a normaliser or pre-tokeniser does, step by step, as its tokenizer's file has it."""
    if component is None:
        return []
    state: dict[str, Any] = json.loads(component.__getstate__())
    kinds: list[dict[str, Any]] = state.get("pretokenizers") or state.get("normalizers") or [state]
    return kinds
