"""Which layout a model gets: packs where it was seen to read them, else padded rows; no architecture ends a run here."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    DeepseekV2Config,
    DeepseekV3Config,
    LlamaConfig,
    Ministral3Config,
    NemotronConfig,
    Olmo2Config,
    PreTrainedConfig,
    StableLmConfig,
)

from tests.workers.training.test_batches import branches
from workers.training import layouts
from workers.training.batches import Layout, lay_out
from workers.training.fast.attach import Calls, make_faster
from workers.training.layouts import choose_layout
from workers.training.loss import TrainedTokenLoss

SMALL: dict[str, Any] = {
    "vocab_size": 320,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "pad_token_id": 0,
}
SCALED: dict[str, Any] = {
    "rope_type": "default",
    "rope_theta": 10_000.0,
    "llama_4_scaling_beta": 0.5,
    "original_max_position_embeddings": 64,
}

LATENT: dict[str, Any] = {
    "num_key_value_heads": 4, "q_lora_rank": 16, "kv_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 16, "v_head_dim": 12,
    "n_routed_experts": 4, "num_experts_per_tok": 2, "first_k_dense_replace": 1, "moe_intermediate_size": 32, "n_group": 1, "topk_group": 1,
}  # fmt: skip
"""Attention whose values have another width than its queries."""


def adapted(config: PreTrainedConfig) -> TrainedTokenLoss:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    with warnings.catch_warnings(action="ignore"):
        get_peft_model(model, LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")).eval()
    return TrainedTokenLoss(model)


@pytest.mark.parametrize(
    ("config", "layout"),
    [
        (LlamaConfig(**SMALL), Layout.SHARED_PREFIX),
        (Olmo2Config(**SMALL), Layout.SHARED_PREFIX),  # its norms of queries span all heads
        (Ministral3Config(**SMALL, head_dim=16, num_key_value_heads=2, rope_parameters=SCALED), Layout.SHARED_PREFIX),
        (DeepseekV2Config(**SMALL, **LATENT), Layout.SHARED_PREFIX),
        (DeepseekV3Config(**SMALL, **LATENT), Layout.SHARED_PREFIX),
        (StableLmConfig(**SMALL, num_key_value_heads=4), Layout.PADDED),
        (NemotronConfig(**SMALL, num_key_value_heads=2), Layout.PADDED),
        (BloomConfig(vocab_size=320, hidden_size=64, n_layer=2, n_head=4), Layout.PADDED),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, PreTrainedConfig) else str(value),
)
def test_a_layout_is_chosen_that_gives_the_loss_of_each_row_alone(config: PreTrainedConfig, layout: Layout) -> None:
    loss = adapted(config)
    rows = branches()
    alone = sum(float(loss.summed(batch).detach()) for row in rows for batch in lay_out([row], Layout.PADDED, token_budget=0))
    chosen = choose_layout(loss)
    assert chosen.layout is layout
    assert chosen.reason
    together = sum(float(loss.summed(batch).detach()) for batch in lay_out(rows, chosen.layout, token_budget=10_000))
    assert together == pytest.approx(alone, rel=1e-5)


def test_a_model_whose_code_fails_at_packs_is_made_faster_all_the_same_and_says_what_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Calls] = []

    def fails(*_given: object) -> None:
        raise TypeError("no such argument: plan\nand more")

    def also_faster(calls: Calls) -> None:
        made.append(calls)
        make_faster(calls)

    monkeypatch.setattr(layouts, "let_read_packs", fails)
    monkeypatch.setattr(layouts, "make_faster", also_faster)
    chosen = choose_layout(adapted(LlamaConfig(**SMALL)))
    assert chosen.layout is Layout.PADDED
    assert chosen.reason.endswith(": side by side they end in TypeError: no such argument: plan")
    assert made


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("share", [0.0, 0.01])
def test_rows_that_see_a_hundredth_of_their_neighbours_are_not_put_side_by_side(share: float, dtype: torch.dtype) -> None:
    """In bf16 so little is less than what rounding excuses."""
    loss = adapted(LlamaConfig(**SMALL))
    body = loss.body.to(dtype)

    def leak(_module: torch.nn.Module, _given: object, out: torch.Tensor) -> torch.Tensor:
        return out + share * torch.roll(out, 1, dims=1)

    body.layers[0].register_forward_hook(leak)
    assert choose_layout(loss).layout is (Layout.PADDED if share else Layout.SHARED_PREFIX)
