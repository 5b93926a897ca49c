"""One token after another: prefill, sampling, and the sequence that remembers its keys and values."""

from __future__ import annotations

import copy
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import torch

from workers.inference.protocol import FinishReason

SEED_SPAN = 2**63


@dataclass(frozen=True)
class Sampling:
    """How tokens are picked and when an answer is over."""

    temperature: float
    top_p: float
    seed: int | None
    limit: int
    end_ids: AbstractSet[int]


class Picker:
    """Picks tokens from logits, greedily at temperature 0, else from the smallest set of tokens that holds `top_p`."""

    def __init__(self, sampling: Sampling, *, choice: int, device: torch.device) -> None:
        self._temperature, self._top_p = sampling.temperature, sampling.top_p
        self._random = torch.Generator(device)
        if sampling.seed is None:
            self._random.seed()
        else:
            self._random.manual_seed((sampling.seed + choice) % SEED_SPAN)

    def pick(self, logits: torch.Tensor) -> int:
        """Return a token; `logits` is one position's row over the vocabulary."""
        if self._temperature == 0:
            return int(logits.argmax())
        likely = torch.softmax(logits.float() / self._temperature, dim=-1)
        if self._top_p >= 1:
            return int(torch.multinomial(likely, 1, generator=self._random))
        ordered, tokens = likely.sort(descending=True)
        before = ordered.cumsum(-1) - ordered  # the likeliest token has nothing before it, so it always stays
        ordered[before > self._top_p] = 0
        return int(tokens[torch.multinomial(ordered, 1, generator=self._random)])


@dataclass
class Prefix:
    """A prompt that was read: its keys and values, and the logits of what comes next."""

    cache: Any
    logits: torch.Tensor

    def fork(self) -> Prefix:
        """Return a copy that can go on by itself, so that several answers read the prompt once."""
        return Prefix(copy.deepcopy(self.cache), self.logits)


@torch.inference_mode()
def read_prompt(model: Any, prompt: list[int], options: dict[str, int]) -> Prefix:
    """Run the whole prompt through the model once; `options` are what this kind of model takes besides."""
    from transformers import DynamicCache

    cache = DynamicCache(config=model.config)
    ids = torch.tensor([prompt], device=model.device)
    return Prefix(cache, model(input_ids=ids, past_key_values=cache, use_cache=True, **options).logits[0, -1])


class Sequence:
    """One growing answer, in tokens."""

    def __init__(self, prefix: Prefix, sampling: Sampling, *, choice: int) -> None:
        self._prefix = prefix
        self._sampling = sampling
        self._picker = Picker(sampling, choice=choice, device=prefix.logits.device)
        self._pending: int | None = None
        self.produced = 0
        self.finish_reason: FinishReason | None = None

    @torch.inference_mode()
    def step(self, model: Any) -> int | None:
        """Return the next token, or None when it is the end of the turn; the model must be as it was for the prompt."""
        if self._pending is not None:
            ids = torch.tensor([[self._pending]], device=self._prefix.logits.device)
            self._prefix.logits = model(input_ids=ids, past_key_values=self._prefix.cache, use_cache=True).logits[0, -1]
        token = self._picker.pick(self._prefix.logits)
        self._pending = token
        self.produced += 1
        if token in self._sampling.end_ids:
            self.finish_reason = "stop"
            return None
        if self.produced >= self._sampling.limit:
            self.finish_reason = "length"
        return token
