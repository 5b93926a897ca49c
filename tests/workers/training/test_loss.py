"""The step contract: how rows are laid out changes neither loss nor gradient."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, Gemma2Config, Gemma2ForCausalLM, GPT2Config, GPT2LMHeadModel, PreTrainedModel

from workers.training import loss as loss_module
from workers.training.batches import Layout, lay_out
from workers.training.loss import TrainedTokenLoss
from workers.training.masks import MaskedRow

VOCABULARY = 256


def some_rows(count: int = 12) -> list[tuple[int, MaskedRow]]:
    draw = np.random.default_rng(0)
    rows = []
    for number in range(count):
        length = int(draw.integers(4, 60))
        mask = draw.random(length) < 0.4
        mask[-1] = True
        rows.append((number, MaskedRow(draw.integers(0, VOCABULARY, length, dtype=np.int32), mask)))
    return rows


def reference(model: torch.nn.Module, rows: list[tuple[int, MaskedRow]]) -> torch.Tensor:
    """The loss as a textbook writes it, row by row with all logits."""
    summed, count = torch.zeros(()), 0
    for _, row in rows:
        ids = torch.from_numpy(row.ids.astype(np.int64))
        labels = torch.where(torch.from_numpy(row.trained), ids, -100)
        logits = model(input_ids=ids[None]).logits[0].float()
        summed = summed + torch.nn.functional.cross_entropy(logits[:-1], labels[1:], ignore_index=-100, reduction="sum")
        count += int(row.trained[1:].sum())
    return summed / count


def gradient(model: torch.nn.Module) -> torch.Tensor:
    found = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    model.zero_grad()
    return found


def difference(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).norm() / other.norm())


@pytest.fixture
def adapted(base: Path) -> PreTrainedModel:
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    get_peft_model(model, LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM"))
    adapted: PreTrainedModel = model.eval()
    return adapted


@pytest.mark.parametrize("size", [1, 3, 12])
def test_the_gradient_of_a_step_does_not_depend_on_the_micro_batch(
    size: int, adapted: PreTrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loss_module, "LEAST_CHUNK", 7)
    monkeypatch.setattr(loss_module, "CHUNK_LOGITS", VOCABULARY * 7)  # several chunks a batch
    model = adapted
    rows = some_rows()
    expected = reference(model, rows)
    expected.backward()
    plain = gradient(model)
    head = TrainedTokenLoss(model)
    batches = lay_out(rows, Layout.PADDED, size=size, token_budget=0)
    tokens = sum(len(batch.targets) for batch in batches)
    found = 0.0
    for batch in batches:
        part = head.summed(batch) / tokens
        part.backward()
        found += float(part.detach())
    assert found == pytest.approx(float(expected.detach()), rel=1e-6)
    assert difference(gradient(model), plain) <= 1e-5


def test_score_finds_the_same_loss_and_the_greedy_hits(adapted: PreTrainedModel) -> None:
    model = adapted
    rows = some_rows(3)
    (batch,) = lay_out(rows, Layout.PADDED, size=3, token_budget=0)
    scored = TrainedTokenLoss(model).score(batch)
    assert scored.loss / len(batch.targets) == pytest.approx(float(reference(model, rows).detach()), rel=1e-5)
    _, row = next(pair for pair in rows if pair[0] == batch.rows[0])
    greedy = model(input_ids=torch.from_numpy(row.ids.astype(np.int64))[None]).logits[0].argmax(-1)
    wanted = [int(greedy[place - 1]) == int(row.ids[place]) for place in range(1, len(row.ids)) if row.trained[place]]
    assert scored.hits[: len(wanted)].tolist() == wanted


def other_architectures() -> list[PreTrainedModel]:
    gemma = Gemma2Config(
        vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1, head_dim=16,
        final_logit_softcapping=0.5, pad_token_id=0,
    )  # fmt: skip
    gpt = GPT2Config(vocab_size=64, n_embd=32, n_layer=1, n_head=2, n_positions=64, bos_token_id=None, eos_token_id=None)
    torch.manual_seed(0)
    return [Gemma2ForCausalLM(gemma).eval(), GPT2LMHeadModel(gpt).eval()]


def test_architectures_that_reshape_their_logits_agree_with_themselves() -> None:
    for model in other_architectures():
        assert TrainedTokenLoss(model).agrees_with(model)


def test_logits_made_in_an_unknown_way_are_noticed() -> None:
    gemma = other_architectures()[0]
    head = TrainedTokenLoss(gemma)
    head.head = replace(head.head, softcap=None)
    assert not head.agrees_with(gemma)


def test_in_bf16_a_step_s_number_of_tokens_is_not_rounded() -> None:
    torch.manual_seed(0)
    weight = torch.nn.Linear(32, VOCABULARY, bias=False, dtype=torch.bfloat16).requires_grad_(False).weight
    head = loss_module.Head(weight, None, 1.0, None)
    states, targets = torch.randn(20, 32, dtype=torch.bfloat16), torch.arange(20)

    apply: Any = loss_module._ChunkedLoss.apply

    def gradient(tokens: int) -> torch.Tensor:
        leaf = states.clone().requires_grad_()
        (apply(leaf, targets, head) / tokens).backward()
        assert leaf.grad is not None
        return leaf.grad

    assert torch.equal(gradient(99), (gradient(1).float() / 99).bfloat16())
