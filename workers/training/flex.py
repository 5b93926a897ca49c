"""Attention by plan on a GPU: one flex_attention call, whose block mask leaves out what no token of a block may see.

FlexAttention: Dong et al., arXiv 2412.05496. The mask is made from the segments once for a pack and a window, and kept with the plan.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.attention.flex_attention import AuxRequest, create_block_mask, flex_attention

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch.nn.attention.flex_attention import BlockMask

    from workers.training.plan import AttentionPlan, Options


VARIANTS = 64
"""In how many ways the attention may be compiled."""


def attend_in_blocks(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, plan: AttentionPlan, options: Options) -> torch.Tensor:
    """Return what each token takes from those it sees: query T, H, D; key T, K, D; value T, K, V; result T, H, V."""
    mask = _mask(plan, options.window, query.device)
    heads = (states.transpose(0, 1)[None] for states in (query, key, value))
    compute: Any = _compiled() if query.is_cuda else flex_attention
    taken, more = compute(*heads, block_mask=mask, scale=options.scale, enable_gqa=True, return_aux=AuxRequest(lse=True))
    if options.sinks is not None:
        # What the sinks take is missing from the rest: the softmax has one more score, whose value is nothing.
        share = torch.sigmoid(more.lse - options.sinks.float()[None, :, None])
        taken = (taken * share[..., None]).to(query.dtype)
    result: torch.Tensor = taken[0].transpose(0, 1)
    return result


def _mask(plan: AttentionPlan, window: int | None, device: torch.device) -> BlockMask:
    window = window if window is not None and window < plan.longest else None
    if window not in plan.block_masks:
        plan.block_masks[window] = _make_mask(plan, window, device)
    mask: BlockMask = plan.block_masks[window]
    return mask


def _make_mask(plan: AttentionPlan, window: int | None, device: torch.device) -> BlockMask:
    """A token sees itself and what stands before it in its row: what it goes on from reaches as far as the token."""
    reach = torch.cat([torch.full((s.length,), s.reach) for s in plan.segments]).to(device)
    positions = plan.positions.to(device)

    def sees(_batch: torch.Tensor, _head: torch.Tensor, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        # Depth first, a segment's descendants are what stands behind it as far as its reach.
        seen = (key <= query) & (query < reach[key])
        return seen if window is None else seen & (positions[query] - positions[key] < window)

    tokens = len(positions)
    # Compiled, it never holds one number for each pair of tokens.
    return create_block_mask(sees, None, None, tokens, tokens, device=device, _compile=device.type == "cuda")


@lru_cache(maxsize=1)
def _compiled() -> Callable[..., Any]:
    # With and without gradients, windows and several blocks it is compiled a number of times; beyond the limit it would run uncompiled.
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, VARIANTS)  # noqa: SLF001 - there is no other way
    compiled: Callable[..., Any] = torch.compile(flex_attention, dynamic=True)
    return compiled
