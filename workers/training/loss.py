"""The loss: the output head runs on the positions whose next token is trained, in chunks, and never on a prompt.

The head is frozen, so the gradient of the hidden states is formed in the forward pass, chunk by chunk: [batch, length, vocabulary]
never exists, and neither does [trained tokens, vocabulary].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable

    from transformers import PreTrainedModel

    from workers.training.batches import Batch

CHUNK_LOGITS = 32 * 1024 * 1024
"""Logits computed at once (128 MiB in float32)."""
CHECK_TOLERANCE = 1e-3

HeadFunction = "Callable[[torch.Tensor], torch.Tensor]"


class _ChunkedLoss(torch.autograd.Function):
    """Sum of the cross-entropy over positions; the backward pass only scales what the forward pass has formed."""

    @staticmethod
    def forward(
        ctx: Any, hidden: torch.Tensor, targets: torch.Tensor, head: Callable[[torch.Tensor], torch.Tensor], chunk: int
    ) -> torch.Tensor:
        total = torch.zeros((), dtype=torch.float64, device=hidden.device if hidden.device.type != "mps" else "cpu")
        gradient = torch.empty_like(hidden)
        for start in range(0, len(hidden), chunk):
            part = slice(start, start + chunk)
            with torch.enable_grad():
                states = hidden[part].detach().requires_grad_()
                loss = functional.cross_entropy(head(states).float(), targets[part], reduction="sum")
                (gradient[part],) = torch.autograd.grad(loss, states)
            total += loss.detach()
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    def backward(ctx: Any, *outer: torch.Tensor) -> tuple[torch.Tensor, None, None, None]:
        (gradient,) = ctx.saved_tensors
        # The factor is one over the step's tokens: in bf16 it would itself be rounded, and every gradient with it.
        return (gradient.float() * outer[0].float()).to(gradient.dtype), None, None, None


@dataclass(frozen=True)
class Scored:
    """What a forward pass without gradients finds: the summed loss, and for each trained token whether greedy choice hits it."""

    loss: float
    hits: torch.Tensor


class TrainedTokenLoss:
    """The loss of one model: its body, and its head with whatever the architecture does to the logits."""

    def __init__(self, model: PreTrainedModel) -> None:
        self._body = model.get_decoder()
        self._head = model.get_output_embeddings()
        config = model.config.get_text_config()
        self._softcap: float | None = getattr(config, "final_logit_softcapping", None)
        self._scale: float = getattr(config, "logit_scale", None) or 1.0 / (getattr(config, "logits_scaling", None) or 1.0)
        self.vocabulary: int = config.vocab_size
        self.device = self._head.weight.device

    def summed(self, batch: Batch) -> torch.Tensor:
        """Return the sum of the loss over the batch's trained tokens, ready for backward()."""
        chunk = max(1, CHUNK_LOGITS // self.vocabulary)
        apply: Any = _ChunkedLoss.apply
        summed: torch.Tensor = apply(self._hidden(batch), batch.targets.to(self.device), self.logits, chunk)
        return summed

    @torch.no_grad()
    def score(self, batch: Batch) -> Scored:
        """Return loss and greedy hits, without gradients."""
        hidden, targets = self._hidden(batch), batch.targets.to(self.device)
        chunk = max(1, CHUNK_LOGITS // self.vocabulary)
        total, hits = 0.0, []
        for states, wanted in zip(hidden.split(chunk), targets.split(chunk), strict=True):
            logits = self.logits(states).float()
            total += float(functional.cross_entropy(logits, wanted, reduction="sum"))
            hits.append(logits.argmax(-1) == wanted)
        return Scored(total, torch.cat(hits).cpu())

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return the logits of some positions as the architecture defines them."""
        logits: torch.Tensor = self._head(hidden.to(self._head.weight.dtype)) * self._scale
        if self._softcap is not None:
            logits = torch.tanh(logits / self._softcap) * self._softcap
        return logits

    @torch.no_grad()
    def agrees_with(self, model: PreTrainedModel) -> bool:
        """Say whether body and head, put together here, give the logits that the model gives itself."""
        ids = torch.arange(1, min(9, self.vocabulary), device=self.device)[None]
        own = model(input_ids=ids, use_cache=False).logits[0].float()
        ours = self.logits(self._body(input_ids=ids, use_cache=False).last_hidden_state[0]).float()
        return bool((own - ours).abs().max() <= CHECK_TOLERANCE * own.abs().max().clamp(min=1.0))

    def _hidden(self, batch: Batch) -> torch.Tensor:
        states = self._body(input_ids=batch.ids.to(self.device), use_cache=False).last_hidden_state  # B, L, H
        chosen: torch.Tensor = states[batch.predicts.to(self.device)]  # T, H
        return chosen
