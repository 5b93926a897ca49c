"""The starter's own training: AdamW, a warm-up, then a straight line down to nothing over a budget of tokens."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM

from tools.starter_model.stream import batch_at

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from transformers import PreTrainedTokenizerFast

CONTEXT = 2048
LONG_EVERY = 8
"""Every how many steps rows of the whole context are read, so that far positions are learned too."""
SAVE_SECONDS = 120.0


@dataclass(frozen=True)
class Budget:
    """How much is read: tokens in all, tokens a step, and the highest learning rate."""

    tokens: int
    batch: int
    rate: float

    @property
    def steps(self) -> int:
        """Return the optimiser steps in all."""
        return max(1, self.tokens // self.batch)

    def rate_at(self, step: int) -> float:
        """Return the learning rate of a step: up over the first fiftieth, then straight down to zero."""
        done = (step + 1) / self.steps
        return self.rate * min(done / 0.02, (1.0 - done) / 0.98)


def make_model(tokenizer: PreTrainedTokenizerFast, seed: int) -> LlamaForCausalLM:
    """Return the untrained model."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=256, intermediate_size=768, num_hidden_layers=6, num_attention_heads=4,
        num_key_value_heads=4, max_position_embeddings=CONTEXT, tie_word_embeddings=True, bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    return LlamaForCausalLM(config)


class Progress:
    """What a cut-off training needs to go on: weights, AdamW's state, and how many steps are done."""

    def __init__(self, folder: Path, model: LlamaForCausalLM, optimizer: torch.optim.AdamW) -> None:
        self.file, self.model, self.optimizer = folder / "progress.safetensors", model, optimizer
        self.names = [name for name, _ in model.named_parameters()]
        self.steps = folder / "progress.json"

    def save(self, step: int) -> None:
        """Write beside, then rename: a cut leaves the older file whole."""
        tensors = {f"model.{n}": p.detach().clone() for n, p in self.model.named_parameters()}
        for index, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{key}.{self.names[index]}": value.clone() for key, value in state.items()}
        part = self.file.with_suffix(".part")
        save_file(tensors, part)
        part.replace(self.file)
        self.steps.write_text(json.dumps({"step": step}))

    def load(self) -> int:
        """Go on from the folder's checkpoint, if there is one, and return the steps that are done."""
        if not self.steps.exists():
            return 0
        tensors = load_file(self.file)
        self.model.load_state_dict({n: tensors[f"model.{n}"] for n in self.names}, strict=False)
        state = self.optimizer.state_dict()
        keys = ("step", "exp_avg", "exp_avg_sq")
        state["state"] = {i: {k: tensors[f"optimizer.{k}.{n}"] for k in keys} for i, n in enumerate(self.names)}
        self.optimizer.load_state_dict(state)
        return int(json.loads(self.steps.read_text())["step"])


def loss_of(model: LlamaForCausalLM, rows: torch.Tensor) -> torch.Tensor:
    """Return the mean loss in nats a token of rows of shape (rows, length + 1)."""
    with torch.autocast(rows.device.type, dtype=torch.bfloat16):
        logits = model(input_ids=rows[:, :-1], use_cache=False).logits
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), rows[:, 1:].flatten())


def pretrain(model: LlamaForCausalLM, streams: dict[str, np.ndarray], folder: Path, budget: Budget) -> dict[str, float]:
    """Train on the budget and return steps, tokens and the last loss (nats a token, smoothed)."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.nn.Module.to(model, device)
    loss_fn = torch.compile(loss_of, dynamic=False) if device == "cuda" else loss_of
    optimizer = torch.optim.AdamW(model.parameters(), lr=budget.rate, betas=(0.9, 0.95), weight_decay=0.1, fused=device == "cuda")
    progress = Progress(folder, model, optimizer)
    first, began = progress.load(), time.monotonic()
    smooth, saved = torch.zeros((), device=device), began
    for step in range(first, budget.steps):
        length = CONTEXT if step % LONG_EVERY == LONG_EVERY - 1 else 512
        rows = torch.from_numpy(batch_at(streams, step, size=budget.batch, length=length)).to(device, non_blocking=True)
        for group in optimizer.param_groups:
            group["lr"] = budget.rate_at(step)
        loss = loss_fn(model, rows)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        smooth = loss.detach() if step == first else 0.98 * smooth + 0.02 * loss.detach()
        if (step + 1) % 100 == 0:
            speed = (step + 1 - first) * budget.batch / (time.monotonic() - began)
            print(f"step {step + 1}/{budget.steps} loss {smooth.item():.3f}, {speed:,.0f} tokens/s", flush=True)
        if time.monotonic() - saved > SAVE_SECONDS:
            progress.save(step + 1)
            saved = time.monotonic()
    progress.save(budget.steps)
    return {"steps": budget.steps, "tokens": budget.steps * budget.batch, "loss": round(smooth.item(), 4)}
