"""Greedy answers for many prompts at once, with a KV cache; rows leave the batch as soon as they are done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from transformers import PreTrainedModel

    GoOn = Callable[[int, list[int]], bool]


@dataclass(frozen=True)
class Limits:
    """When an answer ends: at a stop token, or at `most` tokens."""

    stop_ids: frozenset[int]
    most: int


@torch.no_grad()
def greedy_answers(model: PreTrainedModel, prompts: Sequence[list[int]], limits: Limits, go_on: GoOn) -> list[list[int]]:
    """Return each prompt's greedy answer without its stop token; `go_on` may end a row early (row, answer so far)."""
    answers: list[list[int]] = [[] for _ in prompts]
    alive = list(range(len(prompts)))
    ids, mask = _pad_left(prompts, model.device)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    cache = None
    for _ in range(limits.most):
        out = model(input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True, logits_to_keep=1)
        cache, chosen = out.past_key_values, out.logits[:, -1].argmax(-1)
        kept = [place for place, token in enumerate(chosen.tolist()) if _take(answers, alive[place], token, limits, go_on)]
        if not kept:
            break
        if len(kept) < len(alive):
            places = torch.tensor(kept, device=mask.device)
            cache.reorder_cache(places)  # known to every kind of layer, linear ones too
            chosen, mask, positions = chosen[places], mask[places], positions[places]
            alive = [alive[place] for place in kept]
        ids, positions = chosen[:, None], positions[:, -1:] + 1
        mask = torch.cat([mask, mask.new_ones(len(alive), 1)], dim=-1)
    return answers


def _take(answers: list[list[int]], row: int, token: int, limits: Limits, go_on: GoOn) -> bool:
    """Note a row's next token, and say whether the row goes on."""
    if token in limits.stop_ids:
        return False
    answers[row].append(token)
    return go_on(row, answers[row])


def _pad_left(prompts: Sequence[list[int]], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    longest = max(len(prompt) for prompt in prompts)
    ids = torch.zeros(len(prompts), longest, dtype=torch.long)
    mask = torch.zeros(len(prompts), longest, dtype=torch.long)
    for row, prompt in enumerate(prompts):
        ids[row, longest - len(prompt) :] = torch.tensor(prompt)
        mask[row, longest - len(prompt) :] = 1
    return ids.to(device), mask.to(device)
