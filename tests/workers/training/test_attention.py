"""Attention by plan gives what the textbook gives with a mask of who sees whom, and so do its gradients."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from workers.training import attention, plan
from workers.training.attention import attend
from workers.training.flex import attend_in_blocks
from workers.training.forest import Segment, grow
from workers.training.plan import AttentionPlan, Options

States = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
HEADS, GROUPS, WIDTH = 6, 2, 16
HEADS_KINDS = [(6, 2), (4, 4), (3, 1)]


def segments() -> list[Segment]:
    """Nine rows behind a prompt, four of them behind a longer one, a row that ends with the prompt, and rows of their own."""
    draw = np.random.default_rng(0)
    prompt, more = draw.integers(5, 50, 130), draw.integers(5, 50, 60)
    branches = [np.concatenate([prompt, more if n % 2 else [], draw.integers(5, 50, draw.integers(5, 40))]) for n in range(9)]
    rows = [row.astype(np.int32) for row in (*branches, prompt, *(draw.integers(5, 50, length) for length in (1, 7, 30, 120)))]
    return grow(rows).segments


def textbook(states: States, parts: list[Segment], options: Options) -> torch.Tensor:
    """Softmax over all tokens, with minus infinity where a token is neither an ancestor's nor before it in its own segment."""
    query, key, value = states
    key, value = (held.repeat_interleave(query.shape[1] // held.shape[1], 1) for held in (key, value))
    of = torch.cat([torch.full((part.end - part.start,), number) for number, part in enumerate(parts)])
    standing = torch.cat([torch.arange(part.position, part.position + part.end - part.start) for part in parts])
    lineage = torch.zeros(len(parts), len(parts), dtype=torch.bool)
    for number in range(len(parts)):
        above = number
        while above >= 0:
            lineage[number, above] = True
            above = parts[above].parent
    distance = standing[:, None] - standing[None]
    seen = lineage[of][:, of] & (distance >= 0)
    if options.window is not None:
        seen &= distance < options.window
    scores = torch.einsum("thd,shd->hts", query, key) * options.scale
    scores = scores.masked_fill(~seen, float("-inf"))
    if options.sinks is not None:
        scores = torch.cat([scores, options.sinks[:, None, None].expand(-1, len(of), 1)], -1)
    return torch.einsum("hts,shd->thd", scores.softmax(-1)[..., : len(of)], value)


def drawn(tokens: int, heads: int, groups: int) -> States:
    torch.manual_seed(0)
    query, key, value = (torch.randn(tokens, count, WIDTH, requires_grad=True) for count in (heads, groups, groups))
    return query, key, value


def apart(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).detach().norm() / expected.detach().norm())


@pytest.mark.parametrize("window", [None, 40, 150, 1_000])
@pytest.mark.parametrize("has_sinks", [False, True])
@pytest.mark.parametrize(("at_once", "kept"), [(1 << 17, 2_048), (512, 8)])
def test_blocks_give_what_the_textbook_gives(
    window: int | None, *, has_sinks: bool, at_once: int, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "SCORES_AT_ONCE", at_once)  # the small ones: many blocks, probabilities computed again
    monkeypatch.setattr(attention, "KEPT_KEYS", kept)
    parts = segments()
    states = drawn(parts[-1].end, HEADS, GROUPS)
    options = Options(0.17, window, torch.randn(HEADS) if has_sinks else None)
    found, expected = attend(*states, AttentionPlan.of(parts), options), textbook(states, parts, options)
    assert apart(found, expected) <= 1e-6
    outer = torch.randn_like(found)
    for mine, theirs in zip(torch.autograd.grad(found, states, outer), torch.autograd.grad(expected, states, outer), strict=True):
        assert apart(mine, theirs) <= 1e-6


@pytest.mark.parametrize(("heads", "groups"), HEADS_KINDS)
@pytest.mark.parametrize("window", [None, 40])
@pytest.mark.parametrize("has_sinks", [False, True])
def test_one_call_with_a_block_mask_gives_the_same(heads: int, groups: int, window: int | None, *, has_sinks: bool) -> None:
    parts = segments()
    query, key, value = (drawn_one.detach() for drawn_one in drawn(parts[-1].end, heads, groups))
    options = Options(0.25, window, torch.randn(heads) if has_sinks else None)
    whole = AttentionPlan.of(parts)
    # Its gradients are torch's own and made on a GPU alone (tests/gpu).
    with warnings.catch_warnings(action="ignore"):  # uncompiled it is slow, which is what compiling is for
        found = attend_in_blocks(query, key, value, whole, options)
    assert apart(found, attend(query, key, value, whole, options)) <= 1e-6


@pytest.mark.parametrize("width", [5, 40])
def test_values_may_have_another_width_than_queries(width: int) -> None:
    parts = segments()
    query, key, _ = drawn(parts[-1].end, HEADS, GROUPS)
    states = (query, key, torch.randn(parts[-1].end, GROUPS, width, requires_grad=True))
    found, expected = attend(*states, AttentionPlan.of(parts), Options(0.17)), textbook(states, parts, Options(0.17))
    assert apart(found, expected) <= 1e-6
    outer = torch.randn_like(found)
    for mine, theirs in zip(torch.autograd.grad(found, states, outer), torch.autograd.grad(expected, states, outer), strict=True):
        assert apart(mine, theirs) <= 1e-6


def numbers_kept(whole: AttentionPlan) -> int:
    return sum(mask.numel() for mask in whole._masks.values() if mask is not None)


def test_masks_of_long_rows_take_little_and_can_be_let_go_of() -> None:
    long = [Segment(0, 1_500, 0, 0, -1, 1_500), Segment(1_500, 3_000, 0, 1, -1, 3_000)]
    whole = AttentionPlan.of(long)
    query, key, value = torch.randn(3, 3_000, 1, 4)
    first = attend(query, key, value, whole, Options(0.5))
    assert 0 < numbers_kept(whole) < 20_000  # who stands before all queries of a block needs no mask, and blocks of a shape share one
    whole.forget()
    assert numbers_kept(whole) == 0
    assert torch.equal(attend(query, key, value, whole, Options(0.5)), first)


def test_blocks_of_a_shape_share_the_mask_of_a_window() -> None:
    plans = [AttentionPlan.of([Segment(0, 300, 0, 0, -1, 300), *more]) for more in ([], [Segment(300, 600, 0, 1, -1, 600)])]
    for whole in plans:
        query, key, value = torch.randn(3, whole.segments[-1].end, 1, 4)
        attend(query, key, value, whole, Options(0.5, window=50))
    assert 0 < numbers_kept(plans[0]) == numbers_kept(plans[1])


def test_a_branch_that_sees_another_would_be_noticed() -> None:
    parts = segments()
    states = drawn(parts[-1].end, HEADS, GROUPS)
    one_row = [Segment(0, parts[-1].end, 0, 0, -1, parts[-1].end)]
    blind = attend(*states, AttentionPlan.of(one_row), Options(0.17)).detach()
    assert apart(blind, textbook(states, parts, Options(0.17))) > 0.1
