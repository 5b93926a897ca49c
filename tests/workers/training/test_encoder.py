"""Texts tokenised in pieces have the tokens of the whole, for every kind of tokenizer that is cut; others are left alone."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from tests.workers.training.tiny import SPECIAL, TEMPLATE, TEXTS, chat
from workers.training.encoder import Encoder
from workers.training.masks import Masker
from workers.training.templates import PLAIN_TEMPLATE, chat_template

LLAMA = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN = LLAMA.replace("{1,3}", "")
LETTERS = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
TEKKEN = (
    rf"[^\r\n\p{{L}}\p{{N}}]?{LETTERS[0]}*{LETTERS[1]}+|[^\r\n\p{{L}}\p{{N}}]?{LETTERS[0]}+{LETTERS[1]}*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LEARNT = [*TEXTS, "\n\n\n \n\n\n  Größe? 12 345", "it's “so”, isn't it?\n\nYes, it’s so. \n", "e\u0301 é 日本 語 don't  x\t y"] * 3


def split(pattern: str, **how: Any) -> pre_tokenizers.PreTokenizer:
    steps = [pre_tokenizers.Split(Regex(pattern), **{"behavior": "isolated", **how})]
    return pre_tokenizers.Sequence([*steps, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def of_bytes(before: Any, *, normalizer: Any = None, trims: bool = False) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.normalizer, tokenizer.decoder = before, normalizer, decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=420, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(LEARNT, trainer)
    if trims:
        tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    return tokenizer


def of_characters(*steps: Any) -> Tokenizer:
    """Return a tokenizer as SentencePiece's are converted: spaces are letters, and unknown characters are spelt in bytes."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([*steps, normalizers.Replace(" ", "▁")])
    spelt = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=[*SPECIAL, *spelt], show_progress=False)
    tokenizer.train_from_iterator(LEARNT, trainer)
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return tokenizer


GPT2 = pre_tokenizers.ByteLevel(add_prefix_space=False)
DIGITS = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), GPT2])
KINDS: dict[str, Callable[[], Tokenizer]] = {
    "GPT-2": lambda: of_bytes(GPT2),
    "SmolLM": lambda: of_bytes(DIGITS),
    "Llama 3": lambda: of_bytes(split(LLAMA), trims=True),
    "Qwen": lambda: of_bytes(split(QWEN), normalizer=normalizers.NFC()),
    "Phi-4": lambda: of_bytes(split(LLAMA, behavior="removed", invert=True)),
    "Tekken": lambda: of_bytes(split(TEKKEN)),
    "a pattern nobody knows": lambda: of_bytes(split(r"\S+\s\S+|\s+|\S+")),
    "Gemma": of_characters,
    "Llama 2": lambda: of_characters(normalizers.Prepend("▁")),
}
PIECES = [
    "the", " ", " ", "  ", "\n", "\n\n", "\t", "sky", "is", "blue", "Größe", "12", "345", "'s", "’s", "it's", ",", ".", "?", "“", "”",
    "—", "日本", "é", "e\u0301", "\u0301", "\u00a0", "\u3000", "\u2028", "\u00ad", "🙂", "\x1c", "\x85", "<", "|>", "<|end|>", "<|end",
    "x" * 60, "\ufdd0",
]  # fmt: skip
UNMARKED = (
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
SPACED = UNMARKED.replace("|>\n", "|>: ")
TEMPLATES = {"marked": TEMPLATE, "unmarked": UNMARKED, "space before answers": SPACED, "plain": PLAIN_TEMPLATE}


def awkward(draw: random.Random) -> str:
    return "".join(draw.choice(PIECES) for _ in range(draw.randint(0, 14)))


def encoder(tokenizer: Tokenizer) -> Encoder:
    found = Encoder.of(tokenizer)
    assert found is not None
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_pieces_have_the_tokens_of_the_whole(kind: str) -> None:
    tokenizer, draw = KINDS[kind](), random.Random(0)  # noqa: S311 - a repeatable choice
    in_pieces = encoder(tokenizer)
    for _ in range(1500):
        text = awkward(draw) + "<|end|>"
        found = in_pieces.row(text, [(0, len(text))])
        assert found is not None
        assert np.frombuffer(found[0], np.int32).tolist() == tokenizer.encode(text, add_special_tokens=False).ids, repr(text)


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)
@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_those_of_looking_at_each_token(kind: str, template: str) -> None:
    draw = random.Random(1)  # noqa: S311 - a repeatable choice
    fast = PreTrainedTokenizerFast(tokenizer_object=KINDS[kind](), eos_token="<|end|>")
    fast.chat_template = template
    masker = Masker(fast, chat_template(fast))
    for _ in range(120):
        messages = chat("a" + awkward(draw), "b" + awkward(draw) if draw.random() < 0.5 else awkward(draw).strip() or "b")
        quick, exact = masker.mask(messages), masker.mask(messages, ends=True)
        assert quick.ids.tolist() == exact.ids.tolist(), repr(messages)
        assert quick.trained.tolist() == exact.trained.tolist(), repr(messages)
        assert quick.borders_differ == exact.borders_differ


@pytest.mark.parametrize("kind", KINDS)
def test_words_learnt_at_once_have_the_tokens_they_have_alone(kind: str) -> None:
    tokenizer, draw = KINDS[kind](), random.Random(2)  # noqa: S311 - a repeatable choice
    texts = [awkward(draw) for _ in range(400)]
    ahead, one_by_one = encoder(tokenizer), encoder(tokenizer)
    ahead.learn(texts)
    assert bool(ahead.words) == ahead.cuts_words
    for text in texts:
        ended = text + "<|end|>"
        assert ahead.row(ended, [(0, len(ended))]) == one_by_one.row(ended, [(0, len(ended))]), repr(text)


def test_words_are_cut_only_where_the_pattern_is_known() -> None:
    known = {kind: encoder(make()).cuts_words for kind, make in KINDS.items()}
    assert [kind for kind, cuts in known.items() if not cuts] == ["a pattern nobody knows", "Gemma", "Llama 2"]


def with_added(**how: Any) -> Tokenizer:
    tokenizer = of_bytes(GPT2)
    tokenizer.add_tokens([AddedToken("the sky", **how)])
    return tokenizer


def without_bytes() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(unk_token="<|end|>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.train_from_iterator(LEARNT, trainers.BpeTrainer(vocab_size=100, special_tokens=SPECIAL, show_progress=False))
    return tokenizer


OTHERS: dict[str, Callable[[], Tokenizer]] = {
    "the first piece differs": lambda: of_bytes(pre_tokenizers.ByteLevel(add_prefix_space=True)),
    "metaspace": lambda: of_bytes(pre_tokenizers.Metaspace()),
    "tokens that take spaces": lambda: with_added(rstrip=True, normalized=False),
    "bytes without tokens": without_bytes,
    "lower case": lambda: of_bytes(GPT2, normalizer=normalizers.Lowercase()),
    "another model": lambda: Tokenizer(models.WordPiece({"[UNK]": 0}, unk_token="[UNK]")),
    "by chance": lambda: Tokenizer(models.BPE(dropout=0.1)),
}


@pytest.mark.parametrize("other", OTHERS)
def test_tokenizers_of_other_kinds_are_given_whole_texts(other: str) -> None:
    assert Encoder.of(OTHERS[other]()) is None


def test_a_token_with_a_space_in_it_keeps_words_together() -> None:
    assert not encoder(with_added(normalized=True)).cuts_words


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.training.encoder.MOST_WORDS", 3)
    monkeypatch.setattr("workers.training.encoder.MOST_CHARACTERS", 20)
    tokenizer = of_bytes(GPT2)
    bounded = encoder(tokenizer)
    bounded.learn(["so many words at a time"])
    assert len(bounded.words or ()) == 3
    for text in ["the sky is blue and so are we", "it is which colour it is", "the colour"]:
        found = bounded.row(text + "<|end|>", [(0, len(text) + 7)])
        assert found is not None
        assert np.frombuffer(found[0], np.int32).tolist() == tokenizer.encode(text + "<|end|>").ids
    assert bounded.words is not None
    assert len(bounded.words) <= 3
    assert sum(map(len, bounded.known)) <= 20
