"""A tiny random Llama with a byte-level tokenizer and a chat template, made from a configuration: nothing is downloaded."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from app.domain.datasets import Message
from app.domain.events import AnyEvent, Finished, Metric, Notice, parse_event

TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>\n"
    "{% if m['role'] == 'assistant' %}{% generation %}{{ m['content'] }}<|end|>{% endgeneration %}"
    "{% else %}{{ m['content'] }}<|end|>{% endif %}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
SPECIAL = ["<|endoftext|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
CONTEXT = 256


TEXTS = ("the colour of the sky is blue", "which colour is it")


def make_tokenizer(
    special: Sequence[str] = SPECIAL,
    *,
    eos: str | None = "<|end|>",
    bos: str | None = None,
    template: str | None = TEMPLATE,
    texts: Sequence[str] = TEXTS,
) -> PreTrainedTokenizerFast:
    """Return a byte-level tokenizer that knows `special` as single tokens and has learned its merges from `texts`."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=320, special_tokens=list(special), initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=eos, bos_token=bos)
    fast.chat_template = template
    return fast


def make_model(folder: Path, *, hidden: int = 64, layers: int = 2, spread: float = 0.2, template: str | None = TEMPLATE) -> Path:
    """Write a tiny base model into `folder` and return it."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = make_tokenizer(template=template)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=hidden, intermediate_size=2 * hidden, num_hidden_layers=layers,
        num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=CONTEXT, tie_word_embeddings=True,
        initializer_range=spread, eos_token_id=tokenizer.eos_token_id, pad_token_id=None, bos_token_id=None,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


COLOURS = {"sky": "blue", "grass": "green", "snow": "white", "coal": "black", "sun": "yellow", "blood": "red"}


def write_rows(path: Path, count: int = 60) -> Path:
    """Write rows of chat that a model can learn."""
    names = list(COLOURS)
    with path.open("w") as file:
        for number in range(count):
            thing = names[number % len(names)]
            messages = [
                {"role": "user", "content": f"{number}: which colour is the {thing}?" + " Say it." * (number % 4)},
                {"role": "assistant", "content": COLOURS[thing]},
            ]
            file.write(json.dumps({"messages": messages}) + "\n")
    return path


def write_spec(folder: Path, base: Path, rows: Path, **settings: Any) -> Path:
    """Write a spec that trains a tiny model for a few steps."""
    small = {"max_steps": 6, "batch_size": 8, "learning_rate": 3e-3, "precision": "fp32", "device": "cpu", "max_length": 128, "rank": 4}
    path = folder / "spec.yaml"
    path.write_text(yaml.safe_dump({"base_model": str(base), "dataset": str(rows), "settings": small | settings}))
    return path


def read_events(out: Path) -> list[AnyEvent]:
    """Return what a run has reported."""
    return [parse_event(line) for line in (out / "events.jsonl").read_bytes().splitlines()]


def curve(events: Sequence[AnyEvent], name: str = "train/loss") -> dict[int, float]:
    """Return a metric by step; the last report of a step wins."""
    return {event.step: event.value for event in events if isinstance(event, Metric) and event.name == name}


def notices(events: Sequence[AnyEvent]) -> str:
    """Return what a run has told people, a line each."""
    return "\n".join(event.message for event in events if isinstance(event, Notice))


def last(events: Sequence[AnyEvent]) -> Finished:
    """Return the last event, which must say how the run ended."""
    assert isinstance(events[-1], Finished)
    return events[-1]


def chat(*turns: str, system: str | None = None) -> tuple[Message, ...]:
    """Return a conversation of alternating turns, the user's first."""
    roles = ("user", "assistant")
    begun = [Message(role="system", content=system)] if system else []
    return (*begun, *(Message(role=roles[index % 2], content=text) for index, text in enumerate(turns)))
