"""The loss: the output head runs on the positions whose next token is trained, in chunks, and never on a prompt.

The gradient of the hidden states, and of a head that is trained, is formed in the forward pass, chunk by chunk: [batch, length,
vocabulary] never exists, and neither does [trained tokens, vocabulary].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from workers.training.batches import Batch

CHUNK_LOGITS = 1024 * 1024
"""Logits computed at once (4 MiB in float32), so that what is done to them finds them in a cache …"""
LEAST_CHUNK = 256
"""… but no fewer positions than this, or the head's weights would be read for too few products."""
CHECK_TOLERANCE = 1e-3
UNMASKED = (1, 1, 1, 0)
"""The shape of an attention mask that tells a model to make none of its own: a batch's plan says who attends to whom."""


@dataclass(frozen=True)
class Head:
    """An output head (V, H), and what the architecture does to its logits."""

    weight: torch.Tensor
    bias: torch.Tensor | None
    scale: float
    softcap: float | None

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """Return the logits (N, V) of some positions (N, H) as the architecture defines them."""
        logits = functional.linear(states.to(self.weight.dtype), self.weight, self.bias)
        if self.scale != 1.0:
            logits = logits * self.scale
        return logits if self.softcap is None else torch.tanh(logits / self.softcap) * self.softcap

    def judge(self, states: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the summed cross-entropy of some positions, and its gradient in their products with the weights (N, V)."""
        logits = self.logits(states)
        spread = torch.log_softmax(logits, -1, dtype=torch.float32)
        wanted = targets[:, None]
        loss = -spread.gather(1, wanted).sum()
        in_logits = spread.exp_().scatter_add_(1, wanted, spread.new_full(wanted.shape, -1.0))
        if self.softcap is not None:
            in_logits.mul_(1 - (logits.float() / self.softcap).square_())
        if self.scale != 1.0:
            in_logits.mul_(self.scale)
        return loss, in_logits.to(self.weight.dtype)

    @property
    def is_trained(self) -> bool:
        """Say whether its own weights, often the embeddings too, learn."""
        return self.weight.requires_grad

    @property
    def chunk(self) -> int:
        """Return for how many positions logits are computed at once."""
        return max(LEAST_CHUNK, CHUNK_LOGITS // len(self.weight))


class _ChunkedLoss(torch.autograd.Function):
    """Sum of the cross-entropy over positions; the backward pass only scales what the forward pass has formed.

    `learning`: weights and bias of a head that is trained; their gradients are formed in the same chunks, and added up in float32.
    """

    @staticmethod
    def forward(ctx: Any, hidden: torch.Tensor, targets: torch.Tensor, head: Head, *learning: torch.Tensor | None) -> torch.Tensor:
        total = torch.zeros((), dtype=torch.float64, device=hidden.device)
        in_hidden = torch.empty_like(hidden)
        in_head = [None if each is None else torch.zeros_like(each, dtype=torch.float32) for each in learning]
        in_weight, in_bias = in_head or (None, None)
        for start in range(0, len(hidden), head.chunk):
            part = slice(start, start + head.chunk)
            loss, in_products = head.judge(hidden[part], targets[part])
            total += loss
            in_hidden[part] = in_products @ head.weight
            if in_weight is not None:
                in_weight += in_products.T @ hidden[part].to(in_products.dtype)
            if in_bias is not None:
                in_bias += in_products.sum(0)
        ctx.save_for_backward(in_hidden, *in_head)
        return total

    @staticmethod
    def backward(ctx: Any, *outer: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        dtype = ctx.saved_tensors[0].dtype
        in_hidden, *in_head = (None if each is None else _times(each, outer[0], dtype) for each in ctx.saved_tensors)
        return in_hidden, None, None, *in_head


def _times(gradient: torch.Tensor, factor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return a gradient times one over the step's tokens, which in bf16 would itself be rounded, and every gradient with it."""
    return (gradient.float() * factor.float()).to(dtype)


@dataclass(frozen=True)
class Scored:
    """What a forward pass without gradients finds: the summed loss, and for each trained token whether greedy choice hits it."""

    loss: float
    hits: torch.Tensor


class TrainedTokenLoss:
    """The loss of one model: its body, and its head with whatever the architecture does to the logits."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.body = model.get_decoder()
        head = model.get_output_embeddings()
        self.config = config = model.config.get_text_config()
        scale: float = getattr(config, "logit_scale", None) or 1.0 / (getattr(config, "logits_scaling", None) or 1.0)
        self.head = Head(head.weight, getattr(head, "bias", None), scale, getattr(config, "final_logit_softcapping", None))
        self.vocabulary: int = config.vocab_size
        self.device = head.weight.device

    def summed(self, batch: Batch) -> torch.Tensor:
        """Return the sum of the loss over the batch's trained tokens, ready for backward()."""
        head = self.head
        apply: Any = _ChunkedLoss.apply
        learning = (head.weight, head.bias) if head.is_trained else ()
        summed: torch.Tensor = apply(self._hidden(batch), batch.targets.to(self.device), head, *learning)
        return summed

    def learn(self, batch: Batch, tokens: int) -> float:
        """Add the batch's part of the gradient of a step of so many trained tokens to the weights; return its summed loss."""
        summed = self.summed(batch)
        (summed / tokens).backward()
        batch.forget()
        return float(summed.detach())

    @torch.no_grad()
    def score(self, batch: Batch) -> Scored:
        """Return loss and greedy hits, without gradients."""
        hidden, targets = self._hidden(batch), batch.targets.to(self.device)
        total, hits = 0.0, []
        for states, wanted in zip(hidden.split(self.head.chunk), targets.split(self.head.chunk), strict=True):
            logits = self.head.logits(states).float()
            total += float(functional.cross_entropy(logits, wanted, reduction="sum"))
            hits.append(logits.argmax(-1) == wanted)
        return Scored(total, torch.cat(hits).cpu())

    @torch.no_grad()
    def agrees_with(self, model: PreTrainedModel) -> bool:
        """Say whether body and head, put together here, give the logits that the model gives itself."""
        ids = torch.arange(1, min(9, self.vocabulary), device=self.device)[None]
        own = model(input_ids=ids, use_cache=False).logits[0].float()
        ours = self.head.logits(self.body(input_ids=ids, use_cache=False).last_hidden_state[0]).float()
        return bool((own - ours).abs().max() <= CHECK_TOLERANCE * own.abs().max().clamp(min=1.0))

    def states(self, batch: Batch) -> torch.Tensor:
        """Return the body's last hidden states, one position behind the other (B * L, H)."""
        ids = batch.ids.to(self.device)
        if batch.plan is None:
            states = self.body(input_ids=ids, use_cache=False).last_hidden_state
        else:
            mask = torch.empty(UNMASKED, device=self.device)
            places: Any = batch.positions
            read = self.body(input_ids=ids, position_ids=places.to(self.device), attention_mask=mask, use_cache=False, plan=batch.plan)
            states = read.last_hidden_state
        flat: torch.Tensor = states.flatten(0, 1)
        return flat

    def _hidden(self, batch: Batch) -> torch.Tensor:
        return self.states(batch).index_select(0, batch.places.to(self.device))  # N, H
