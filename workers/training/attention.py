"""Attention over packed rows and shared prefixes, block by block on a CPU.

A token's scores come from several blocks: its own segment (many short segments at once, padded to a common length) and one block for
each ancestor. Blocks are put together by their log-sum-exp, as flash-decoding does (Dao et al., 2023), so nothing is masked out in vain.
Scores and softmax are float32; products are the model's type.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from workers.training.flex import attend_in_blocks
from workers.training.plan import MASKED

if TYPE_CHECKING:
    from workers.training.plan import AttentionPlan, Block, Options

KEPT_KEYS = 2_048
"""Blocks with more keys compute their probabilities again in the backward pass rather than keep them."""


def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, plan: AttentionPlan, options: Options) -> torch.Tensor:
    """Return what each token takes from those it sees: query T, H, D; key T, K, D; value T, K, V; result T, H, V; H a multiple of K."""
    if query.is_cuda:
        return attend_in_blocks(query, key, value, plan, options)
    apply: Any = _Attend.apply
    seen = _Seen(plan, query.shape[1], key.shape[1], options.scale, options.window)
    result: torch.Tensor = apply(query, key, value, seen, options.sinks)
    return result


@dataclass(frozen=True)
class _Seen:
    """A plan for heads of a kind, and how states are read for a block and written back: N, K, G * Q, X, where G = H / K."""

    plan: AttentionPlan
    heads: int
    groups: int
    scale: float
    window: int | None

    @staticmethod
    def pick(states: torch.Tensor, block: Block) -> torch.Tensor:
        """Return states (T, H, X) of a block's queries: N * Q, H, X, zero where they are padding."""
        picked = states[block.flat]
        return picked if block.padding is None else picked.index_fill_(0, block.padding, 0.0)

    def split(self, picked: torch.Tensor, block: Block) -> torch.Tensor:
        """Return picked states (N * Q, H, X) as N, K, G * Q, X."""
        rows, width = 1 if isinstance(block.queries, slice) else len(block.queries), picked.shape[-1]
        parts = picked.view(rows, -1, self.groups, self.heads // self.groups, width)
        return parts.permute(0, 2, 3, 1, 4).reshape(rows, self.groups, -1, width)

    def join(self, parts: torch.Tensor) -> torch.Tensor:
        """Return the reverse of `split`."""
        rows, width = len(parts), parts.shape[-1]
        return parts.view(rows, self.groups, self.heads // self.groups, -1, width).permute(0, 3, 1, 2, 4).reshape(-1, self.heads, width)

    @staticmethod
    def keys(states: torch.Tensor, block: Block) -> torch.Tensor:
        """Return states (T, K, X) of a block's keys as N, K, L, X."""
        picked = states[block.keys]
        return picked.permute(1, 0, 2)[None] if isinstance(block.keys, slice) else picked.permute(0, 2, 1, 3)

    def probabilities(self, query: torch.Tensor, key: torch.Tensor, number: int, block: Block) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what each query of a block takes from each key and its scores (N, K, G * Q, L both)."""
        scores = torch.matmul(self.split(query[block.flat], block).float() * self.scale, self.keys(key, block).float().transpose(-1, -2))
        mask = self.plan.mask(number, block, self.window)
        if mask is not None:
            queries, columns = mask.shape
            scores.view(*scores.shape[:2], -1, queries, scores.shape[-1])[..., -columns:].add_(mask)
        taken = torch.softmax(scores, -1)
        # Behind a window a query may see none of an ancestor's keys: it takes nothing.
        return (taken if self.window is None or block.is_causal else taken.nan_to_num_(0.0)), scores


class _Attend(torch.autograd.Function):
    """Forward keeps each block's probabilities, as if it were the only one; backward weighs them by its share of the whole."""

    @staticmethod
    def forward(  # noqa: PLR0917 - autograd hands everything on by place
        ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, seen: _Seen, sinks: torch.Tensor | None
    ) -> torch.Tensor:
        merges = bool(seen.plan.shared) or sinks is not None
        out = query.new_empty((*query.shape[:2], value.shape[-1]), dtype=torch.float32 if merges else query.dtype)
        level = query.new_empty(query.shape[:2], dtype=torch.float32)  # T, H: log-sum-exp of what a token has seen so far
        kept: list[torch.Tensor] = []
        for number, block, is_first in seen.plan.blocks():
            taken, scores = seen.probabilities(query, key, number, block)
            weights = taken.to(query.dtype)
            found = seen.join(torch.matmul(weights, seen.keys(value, block)))
            kept.append(weights if weights.shape[-1] <= KEPT_KEYS else weights.new_empty(0))
            if merges:
                mine = seen.join(_level(scores, taken)[..., None])[..., 0]
                kept.append(mine)
                _merge(out, level, block, (found, mine), is_first=is_first)
            else:
                _put(out, block, found)
        if sinks is not None:
            whole = torch.logaddexp(level, sinks.float()[None])
            out *= (level - whole).exp_()[..., None]
            level = whole
        result = out.to(query.dtype)
        ctx.save_for_backward(query, key, value, result, level, sinks, *kept)
        ctx.seen, ctx.merges = seen, merges
        return result

    @staticmethod
    def backward(ctx: Any, *outer: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        query, key, value, result, level, sinks, *kept = ctx.saved_tensors
        seen: _Seen = ctx.seen
        gradient, saved = outer[0], iter(kept)
        delta = (gradient.float() * result).sum(-1, keepdim=True)  # T, H, 1
        wide = torch.float32 if seen.plan.adds_up else query.dtype
        make = torch.zeros_like if seen.plan.adds_up else torch.empty_like
        in_query, in_key, in_value = (make(tensor, dtype=wide) for tensor in (query, key, value))
        for number, block, is_first in seen.plan.blocks():
            weights = next(saved)
            if not weights.numel():
                weights = seen.probabilities(query, key, number, block)[0].to(query.dtype)
            share, dot = seen.pick(gradient, block), seen.pick(delta, block)
            if ctx.merges:
                factor = (next(saved) - level[block.flat]).exp_()[..., None]
                share, dot = (share * factor).to(query.dtype), dot * factor
            share, dot = seen.split(share, block), seen.split(dot, block)
            products = _less(dot.to(query.dtype), share, seen.keys(value, block)).mul_(weights)
            _put(in_query, block, seen.join(torch.matmul(products, seen.keys(key, block))), adds=not is_first)
            _put_keys(in_key, block, torch.matmul(products.transpose(-1, -2), seen.split(query[block.flat], block)))
            _put_keys(in_value, block, torch.matmul(weights.transpose(-1, -2), share))
        # What a sink takes has no value, so it only takes from the others (with full tuning it learns).
        in_sinks = -(torch.exp(sinks.float()[None] - level) * delta[..., 0]).sum(0).to(sinks.dtype) if ctx.needs_input_grad[4] else None
        in_query.mul_(seen.scale)
        in_key.mul_(seen.scale)
        return *(tensor.to(query.dtype) for tensor in (in_query, in_key, in_value)), None, in_sinks


def _less(dot: torch.Tensor, share: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Return share times value' less dot (N, K, G * Q, 1), subtracted before the sum is rounded."""
    taken_off = dot.flatten(0, 1).expand(-1, -1, value.shape[2])
    product = torch.baddbmm(taken_off, share.flatten(0, 1), value.flatten(0, 1).transpose(1, 2), beta=-1)
    whole: torch.Tensor = product.view(*share.shape[:2], *product.shape[1:])
    return whole


def _level(scores: torch.Tensor, taken: torch.Tensor) -> torch.Tensor:
    """Return the log-sum-exp of scores from their softmax: the greatest of them less the log of what it became."""
    top, most = scores.amax(-1), taken.amax(-1)
    return torch.where(most > 0, top - most.log(), MASKED)


def _put(whole: torch.Tensor, block: Block, found: torch.Tensor, *, adds: bool = False) -> None:
    """Write what was found for a block's queries (N * Q, H, X) where they stand."""
    if isinstance(block.queries, slice):
        whole[block.queries] = whole[block.queries] + found if adds else found
    elif block.real is None:
        whole.index_copy_(0, block.queries.reshape(-1), found.to(whole.dtype))
    else:
        whole.index_copy_(0, block.queries.reshape(-1)[block.real], found[block.real].to(whole.dtype))


def _put_keys(whole: torch.Tensor, block: Block, found: torch.Tensor) -> None:
    """Write, or add where other blocks have some too, what was found for a block's keys (N, K, L, X)."""
    if isinstance(block.keys, slice):
        whole[block.keys] += found[0].permute(1, 0, 2)
    else:
        _put(whole, block, found.permute(0, 2, 1, 3).flatten(0, 1))


def _merge(out: torch.Tensor, level: torch.Tensor, block: Block, found: tuple[torch.Tensor, torch.Tensor], *, is_first: bool) -> None:
    """Put what a block's queries have found together with what they had: each by its part of the sum of exponentials."""
    taken, mine = found
    if is_first:
        _put(out, block, taken)
        _put(level, block, mine)
        return
    earlier, places = level[block.queries], block.queries
    both = torch.logaddexp(earlier, mine)
    out[places] = (out[places] * (earlier - both).exp_()[..., None]).addcmul_(taken.float(), (mine - both).exp_()[..., None])
    level[places] = both
