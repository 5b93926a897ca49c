"""Bases of any family and measures with random weights, and rows of a wanted length: a step takes the same whatever the weights are."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from app.domain.packs import Work

if TYPE_CHECKING:
    from transformers import PretrainedConfig

    from workers.training.masks import MaskedRow

STARTER = Path(__file__).resolve().parents[1] / "models" / "hone-starter"


class Measures(NamedTuple):
    """A base's measures, as its family's configuration has them."""

    family: str
    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    vocabulary: int
    head: int = 64
    tied: bool = True


BASES = {
    "llama-wide": Measures("llama", 6, 768, 3072, 12, 12, 8_192),
    "llama-deep": Measures("llama", 24, 384, 1024, 6, 3, 49_152),
    "smollm2-135m": Measures("llama", 30, 576, 1536, 9, 3, 49_152),
    "qwen2": Measures("qwen2", 10, 640, 2560, 10, 2, 65_536),
    "qwen3": Measures("qwen3", 12, 512, 1536, 8, 4, 65_536, head=128),
    "llama-untied": Measures("llama", 12, 640, 1792, 10, 5, 32_768, tied=False),
    "gemma3": Measures("gemma3_text", 10, 512, 2048, 8, 4, 65_536),
    "qwen2.5-0.5b": Measures("qwen2", 24, 896, 4864, 14, 2, 151_936),
}


@dataclass(frozen=True)
class Rows:
    """Rows to train on: how many, of how many tokens at most, and whether all are so long or they vary down to an eighth of it."""

    count: int
    tokens: int
    mixed: bool = False


def make_base(folder: Path, measures: Measures, *, dtype: str) -> dict[str, Any]:
    """Write a base with random weights of a type and the bundled base's tokenizer into `folder`; return its configuration."""
    import torch
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

    PreTrainedTokenizerFast.from_pretrained(STARTER).save_pretrained(folder)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(_config(measures), dtype=getattr(torch, dtype))
    model.save_pretrained(folder)
    written: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return written


def configuration_of(measures: Measures) -> dict[str, Any]:
    """Return the configuration that a base of these measures has, without making one."""
    found: dict[str, Any] = _config(measures).to_dict()
    return found


def _config(measures: Measures) -> PretrainedConfig:
    from transformers import AutoConfig, PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast.from_pretrained(STARTER)
    return AutoConfig.for_model(
        measures.family, vocab_size=measures.vocabulary, hidden_size=measures.hidden, intermediate_size=measures.intermediate,
        num_hidden_layers=measures.layers, num_attention_heads=measures.heads, num_key_value_heads=measures.kv_heads,
        head_dim=measures.head, max_position_embeddings=4096, tie_word_embeddings=measures.tied, bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip


def write_rows(path: Path, rows: Rows, *, seed: int = 0) -> Path:
    """Write chats of random words that have nothing in common: the longest are a little over the wanted length, and are cut there."""
    draw = random.Random(seed)  # noqa: S311 - a repeatable choice
    words = _words()
    lines = []
    for number in range(rows.count):
        share = draw.uniform(0.125, 1.0) if rows.mixed and number else 1.05
        many = int(share * rows.tokens)
        asked, answered = (" ".join(draw.choices(words, k=count)) for count in (int(0.45 * many), int(0.55 * many)))
        turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
        lines.append(json.dumps({"messages": turns}) + "\n")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(lines), encoding="utf-8")
    return path


def work_of(rows: Path, base: Path, max_length: int, steps: int) -> Work:
    """Return what rows come to in tokens for a base, by the trainer's own code."""
    made = masked(rows, base, max_length)
    lengths = [len(row.ids) - 1 for row in made]
    trained = sum(int(row.trained[1:].sum()) for row in made)
    mean = sum(lengths) / len(lengths)
    return Work(rows=len(lengths), steps=steps, mean_tokens=mean, longest_tokens=max(lengths), trained_share=trained / sum(lengths))


def masked(rows: Path, base: Path, max_length: int) -> list[MaskedRow]:
    """Return rows as the trainer reads them: tokens, which are trained, cut at `max_length`."""
    from workers.training.masks import Masker
    from workers.training.prepare import prepare
    from workers.training.rows import load_rows
    from workers.training.templates import chat_template
    from workers.training.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(base)
    masker = Masker(tokenizer, chat_template(tokenizer, "auto"))
    return prepare(load_rows(rows, rows).train, masker, max_length, check=lambda: None).rows


def _words() -> list[str]:
    """Return words of which the bundled tokenizer makes one token each."""
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast.from_pretrained(STARTER)
    found = (tokenizer.decode([token]) for token in range(1000, 4000))
    return [word.strip() for word in found if word.startswith(" ") and word.strip().isalpha() and word.isascii()]
