"""A faster pass is made for modules that compute what it computes, and for no others."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import Linear as LoraLinear
from torch import nn
from torch.nn import functional
from transformers import AutoModelForCausalLM, LlamaConfig
from transformers.activations import ACT2FN

from tests.workers.training.test_layouts import SMALL
from workers.training.fast import modules
from workers.training.fast.linear import Layer


class Gated(nn.Module):
    """An MLP that cuts off what is beyond its limit, as DeepseekV4's does."""

    def __init__(self, *, limit: float | None, name: str) -> None:
        super().__init__()
        self.gate_proj, self.up_proj, self.down_proj = nn.Linear(8, 16), nn.Linear(8, 16), nn.Linear(16, 8)
        self.act_fn = ACT2FN["silu"]
        self.bound = math.inf if limit is None else limit
        setattr(self, name, limit)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        gate, up = self.gate_proj(states).clamp(max=self.bound), self.up_proj(states).clamp(-self.bound, self.bound)
        made: torch.Tensor = self.down_proj(functional.silu(gate) * up)
        return made


def adapted_mlp(*, limit: float | None, name: str) -> nn.Module:
    whole = PeftModel(Gated(limit=limit, name=name), LoraConfig(r=2, target_modules=["gate_proj", "up_proj", "down_proj"]))
    module = whole.base_model.model
    assert isinstance(module, Gated)
    return module


@pytest.mark.parametrize("name", ["limit", "swiglu_limit"])
def test_an_mlp_that_cuts_off_keeps_its_own_pass(name: str) -> None:
    assert modules.mlp(adapted_mlp(limit=7.0, name=name)) is None


@pytest.mark.parametrize("limit", [None, math.inf])
def test_an_mlp_whose_limit_is_none_gets_a_faster_pass(limit: float | None) -> None:
    module, states = adapted_mlp(limit=limit, name="limit"), 100 * torch.randn(5, 8)
    faster = modules.mlp(module)
    assert faster is not None
    torch.testing.assert_close(faster(states), module(states))


@pytest.mark.parametrize("variant", [{"use_dora": True}, {"alora_invocation_tokens": [1]}])
def test_a_variant_of_lora_keeps_its_own_pass(variant: dict[str, Any]) -> None:
    """What an activated LoRA adds hangs on the tokens, which the layer's input does not show."""
    model = AutoModelForCausalLM.from_config(LlamaConfig(**SMALL))
    get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM", **variant))
    adapted = [module for module in model.modules() if isinstance(module, LoraLinear)]
    assert adapted
    assert all(Layer.of(module) is None for module in adapted)
