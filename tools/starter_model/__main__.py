"""Train hone-starter: `python -m tools.starter_model --text DIR --out DIR [--minutes 60]`.

A Llama of 6.2 million parameters (hidden 256, 6 layers, context 2,048) with a byte-level BPE of 4,096 pieces. The learning
rate follows the clock (warm-up, level, then down to zero over the last quarter), so any time budget gives a finished
model, and a run that was cut off goes on from its checkpoint in `--work`.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tools.starter_model.card import write_card
from tools.starter_model.corpus import DOCUMENT_END, conversations, documents

VOCABULARY, CONTEXT = 4096, 2048
LONG_EVERY = 6
"""Every how many steps rows of the whole context are read, so that far positions are learned too."""
TURN_START, TURN_END = "<|im_start|>", "<|im_end|>"
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] }}<|im_end|>{% endgeneration %}"
    "{% else %}{{ message['content'] }}<|im_end|>{% endif %}\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def make_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE on `texts`; digits stay single, so numbers and ids are spelt."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    bpe.decoder = decoders.ByteLevel()
    special = [DOCUMENT_END, TURN_START, TURN_END]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=special, initial_alphabet=alphabet)
    bpe.train_from_iterator(texts, trainer)
    made = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token=TURN_END, pad_token=DOCUMENT_END, model_max_length=CONTEXT)
    made.chat_template = CHAT_TEMPLATE
    return made


def make_stream(tokenizer: PreTrainedTokenizerFast, texts: list[str], chats: int, seed: int) -> np.ndarray:
    """Return all tokens, documents and conversations shuffled together, each ended by `<|endoftext|>`."""
    pieces = [text[at : at + 8000] for text in texts for at in range(0, len(text), 8000)]
    lines = [str(tokenizer.apply_chat_template(c, tokenize=False)) for c in conversations(texts, chats, seed)]
    pieces += ["".join(lines[at : at + 8]) for at in range(0, len(lines), 8)]
    np.random.default_rng(seed).shuffle(pieces)
    ids: list[int] = []
    for at in range(0, len(pieces), 512):
        for encoded in tokenizer.backend_tokenizer.encode_batch(pieces[at : at + 512]):
            ids += [*encoded.ids, tokenizer.pad_token_id]
    return np.asarray(ids, dtype=np.uint16)


def make_model(tokenizer: PreTrainedTokenizerFast, seed: int) -> LlamaForCausalLM:
    """Return the untrained model."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=256, intermediate_size=768, num_hidden_layers=6, num_attention_heads=4,
        num_key_value_heads=4, max_position_embeddings=CONTEXT, tie_word_embeddings=True, bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    return LlamaForCausalLM(config)


def rate(done: float, peak: float) -> float:
    """Return the learning rate at a fraction `done` of the time budget."""
    return peak * min(1.0, done / 0.02, (1.0 - done) / 0.25)


class Progress:
    """What a cut-off training needs to go on: weights, AdamW's state, steps and seconds spent."""

    def __init__(self, folder: Path, model: LlamaForCausalLM, optimizer: torch.optim.AdamW) -> None:
        self.folder, self.model, self.optimizer = folder, model, optimizer
        self.names = [name for name, _ in model.named_parameters()]
        self.step, self.seconds = 0, 0.0

    def save(self) -> None:
        """Write beside, then rename: a cut leaves the older file whole."""
        tensors = {f"model.{n}": p.detach().clone() for n, p in self.model.named_parameters()}
        for index, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{key}.{self.names[index]}": value.clone() for key, value in state.items()}
        whole, part = self.folder / "progress.safetensors", self.folder / "progress.part"
        save_file(tensors, part, metadata={"progress": json.dumps({"step": self.step, "seconds": self.seconds})})
        part.replace(whole)
        (self.folder / "progress.json").write_text(json.dumps({"step": self.step, "seconds": self.seconds}))

    def load(self) -> None:
        """Go on from the folder's checkpoint, if there is one."""
        if not (self.folder / "progress.json").exists():
            return
        tensors = load_file(self.folder / "progress.safetensors")
        self.model.load_state_dict({n: tensors[f"model.{n}"] for n in self.names}, strict=False)
        state = self.optimizer.state_dict()
        keys = ("step", "exp_avg", "exp_avg_sq")
        state["state"] = {i: {k: tensors[f"optimizer.{k}.{n}"] for k in keys} for i, n in enumerate(self.names)}
        self.optimizer.load_state_dict(state)
        self.__dict__ |= json.loads((self.folder / "progress.json").read_text())


def train(model: LlamaForCausalLM, stream: np.ndarray, folder: Path, *, minutes: float, peak: float) -> dict[str, float]:
    """Train for `minutes` of work in all and return steps, tokens and the last loss (nats a token, smoothed)."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=peak, betas=(0.9, 0.95), weight_decay=0.1)
    progress = Progress(folder, model, optimizer)
    progress.load()
    budget, smooth, saved = minutes * 60, None, time.monotonic()
    while progress.seconds < budget:
        began = time.monotonic()
        for group in optimizer.param_groups:
            group["lr"] = rate(progress.seconds / budget, peak)
        loss = one_step(model, optimizer, batch_at(stream, progress.step))
        smooth = loss if smooth is None else 0.98 * smooth + 0.02 * loss
        progress.step += 1
        progress.seconds += time.monotonic() - began
        if progress.step % 50 == 0:
            print(f"step {progress.step} {progress.seconds / 60:.1f}/{minutes:g} min loss {smooth:.3f}", flush=True)
        if time.monotonic() - saved > 120:  # noqa: PLR2004 - seconds; a cut costs two minutes
            progress.save()
            saved = time.monotonic()
    progress.save()
    return {"steps": progress.step, "tokens": progress.step * 4096, "loss": round(smooth or 0.0, 4)}


def batch_at(stream: np.ndarray, step: int) -> torch.Tensor:
    """Return step `step`'s 4,096 tokens: rows of 512, and every sixth step rows of the whole context."""
    rng = np.random.default_rng(step)
    length = CONTEXT if step % LONG_EVERY == LONG_EVERY - 1 else 512
    starts = rng.integers(0, len(stream) - length - 1, size=4096 // length)
    return torch.from_numpy(np.stack([stream[s : s + length + 1] for s in starts]).astype(np.int64))


def one_step(model: LlamaForCausalLM, optimizer: torch.optim.Optimizer, rows: torch.Tensor) -> float:
    """Do one optimiser step and return its mean loss in nats a token."""
    with torch.autocast("cuda" if rows.is_cuda else "cpu", dtype=torch.bfloat16):
        logits = model(input_ids=rows[:, :-1]).logits
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), rows[:, 1:].flatten())
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss.item()


def main() -> None:
    """Make the tokenizer and the data, train, and write the model's folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--text", type=Path, required=True, help="folder of .txt and .txt.gz files")
    parser.add_argument("--out", type=Path, default=Path("models/hone-starter"))
    parser.add_argument("--work", type=Path, required=True, help="folder for checkpoints, outside the project")
    parser.add_argument("--minutes", type=float, default=60.0, help="training time in all, over every restart")
    parser.add_argument("--chats", type=int, default=60_000, help="conversations made from the text")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=0)
    wanted = parser.parse_args()
    torch.set_num_threads(wanted.threads)
    wanted.work.mkdir(parents=True, exist_ok=True)
    texts = documents(wanted.text)
    tokenizer = make_tokenizer(texts)
    stream = make_stream(tokenizer, texts, wanted.chats, wanted.seed)
    model = make_model(tokenizer, wanted.seed)
    print(f"{model.num_parameters():,} parameters, {len(stream):,} tokens of text", flush=True)
    facts = train(model, stream, wanted.work, minutes=wanted.minutes, peak=wanted.rate)
    tokenizer.save_pretrained(wanted.out)
    model.bfloat16().save_pretrained(wanted.out)
    write_card(wanted.out, wanted.text, facts | {"parameters": model.num_parameters()})


if __name__ == "__main__":
    main()
