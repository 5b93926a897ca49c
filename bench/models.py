"""What training is measured on: random Llamas of two sizes with a real tokenizer, and rows made of the real material.

A step costs the same whatever the weights are, so nothing is downloaded. The peers load the same folders and read the same files.
"""

from __future__ import annotations

import csv
import json
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from bench.material import MATERIAL

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>\n"
    "{% if m['role'] == 'assistant' %}{% generation %}{{ m['content'] }}<|end|>{% endgeneration %}"
    "{% else %}{{ m['content'] }}<|end|>{% endif %}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
SPECIAL = ["<|endoftext|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
HEAD = 64
MADE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "hone-bench"
"""Where models and rows are kept between measurements."""
Turns = list[dict[str, str]]


@dataclass(frozen=True)
class Shape:
    """A Llama's measures; `head` is the width of one of its heads."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    intermediate: int
    vocabulary: int
    head: int = HEAD
    tied: bool = True


SHAPES = {
    "tiny": Shape(hidden=64, layers=2, heads=1, kv_heads=1, intermediate=128, vocabulary=512),
    "6m": Shape(hidden=256, layers=6, heads=4, kv_heads=4, intermediate=768, vocabulary=4096),
    "135m": Shape(hidden=576, layers=30, heads=9, kv_heads=3, intermediate=1536, vocabulary=49152),  # SmolLM2-135M
    "0.5b": Shape(hidden=896, layers=24, heads=14, kv_heads=2, intermediate=4864, vocabulary=151_936),  # Qwen2.5-0.5B
    "1b": Shape(hidden=2048, layers=16, heads=32, kv_heads=8, intermediate=8192, vocabulary=128_256),  # Llama 3.2 1B
    "8b": Shape(hidden=4096, layers=32, heads=32, kv_heads=8, intermediate=14336, vocabulary=128_256, head=128, tied=False),  # Llama 3.1 8B
}


def make_model(folder: Path, shape: Shape, text: Path | None = None, *, dtype: str = "float32", device: str = "cpu") -> Path:
    """Write a random Llama of a shape, with a tokenizer learnt from `text` (default: the material's stories), and return the folder."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    fast = _tokenizer(shape.vocabulary, text or MATERIAL / "text" / "simple_stories_cc-by.txt")
    fast.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=max(shape.vocabulary, len(fast)), hidden_size=shape.hidden, intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers, num_attention_heads=shape.heads, num_key_value_heads=shape.kv_heads, head_dim=shape.head,
        max_position_embeddings=4096, tie_word_embeddings=shape.tied, eos_token_id=fast.eos_token_id, pad_token_id=fast.pad_token_id,
        bos_token_id=None, dtype=dtype,
    )  # fmt: skip
    torch.manual_seed(0)
    with torch.device(device):
        model = LlamaForCausalLM._from_config(config, dtype=getattr(torch, dtype))  # noqa: SLF001 - the way to choose a type before weights exist
    model.save_pretrained(folder)
    return folder


def _tokenizer(vocabulary: int, text: Path) -> PreTrainedTokenizerFast:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=SPECIAL, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False
    )
    made.train_from_iterator(text.read_text(encoding="utf-8").splitlines(), trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<|end|>", pad_token="<|endoftext|>")  # noqa: S106 - tokens of text
    fast.chat_template = TEMPLATE
    return fast


def _shared_prefix(material: Path) -> Iterator[Turns]:
    """Give customers' messages behind one long system prompt that lists all intents, to be answered with JSON."""
    name = "Bitext_Sample_Customer_Service_Training_Dataset.csv"
    with (material / "classification" / name).open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    intents = sorted({(row["intent"], row["category"]) for row in rows})
    system = (
        "You sort customer messages. Answer with one JSON object with the keys intent and category, and nothing else.\n"
        "Possible intents, each with its category:\n" + "\n".join(f"- {intent} ({category})" for intent, category in intents)
    )
    random.Random(0).shuffle(rows)  # noqa: S311 - a repeatable order
    for row in rows:
        answer = json.dumps({"intent": row["intent"], "category": row["category"]})
        yield _turns(("system", system), ("user", row["utterance"]), ("assistant", answer))


def _plain(material: Path) -> Iterator[Turns]:
    """Give instructions and their answers, which have nothing in common but the template."""
    rows = json.loads((material / "instruct" / "rasbt_instruction-data.json").read_text(encoding="utf-8"))
    random.Random(0).shuffle(rows)  # noqa: S311 - a repeatable order
    for row in rows:
        asked = row["instruction"] + ("\n\n" + row["input"] if row["input"] else "")
        yield _turns(("user", asked), ("assistant", row["output"]))


def _turns(*said: tuple[str, str]) -> Turns:
    return [{"role": role, "content": text} for role, text in said]


ROWS = {"shared-prefix": _shared_prefix, "plain": _plain}


def make_rows(path: Path, kind: str, count: int = 256, material: Path = MATERIAL) -> Path:
    """Write `count` rows of a kind as chats, a line each, and return the path."""
    lines = [json.dumps({"messages": turns}) + "\n" for turns in islice(ROWS[kind](material), count)]
    path.write_text("".join(lines), encoding="utf-8")
    return path


def made(shape: str, rows: str) -> tuple[Path, Path]:
    """Return a model and rows to measure with, made where they are not there yet."""
    model, path = MADE / shape, MADE / f"{rows}.jsonl"
    MADE.mkdir(parents=True, exist_ok=True)
    if not (model / "model.safetensors").exists():
        make_model(model, SHAPES[shape])
    return model, make_rows(path, rows)
