"""What a model is observed by before its modules are replaced."""

from __future__ import annotations

from transformers import LlamaConfig

from tests.workers.training.test_batches import masked
from tests.workers.training.test_layouts import SMALL, adapted
from workers.training.batches import Layout, lay_out
from workers.training.fast.attach import observe


def test_only_what_may_be_replaced_is_observed() -> None:
    (row,) = lay_out([(0, masked(9, 4))], Layout.PACKED, token_budget=0)
    calls = observe(adapted(LlamaConfig(**SMALL)), row)
    assert {type(module).__name__ for module in calls} == {"LlamaAttention", "LlamaMLP", "LlamaRMSNorm", "Linear"}
    assert {module.__module__ for module in calls if type(module).__name__ == "Linear"} == {"peft.tuners.lora.layer"}
    assert len(calls) == SMALL["num_hidden_layers"] * (1 + 1 + 2 + 7) + 1
