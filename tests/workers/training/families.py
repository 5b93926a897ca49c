"""Tiny random models of the real architectures: each has what its family is known for, and windows smaller than the rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
import transformers

VOCABULARY = 320
WINDOW = 8
LENGTH = 256
"""The most tokens these models read."""
BOTH = ["sliding_attention", "full_attention"]
SHAPE = {
    "vocab_size": VOCABULARY, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": LENGTH, "pad_token_id": 0, "bos_token_id": None, "eos_token_id": 1,
    "initializer_range": 0.1,
}  # fmt: skip


@dataclass(frozen=True)
class Family:
    """An architecture by its configuration's class, and what stands in it beside the common shape."""

    name: str
    config: str
    options: dict[str, Any] = field(default_factory=dict)
    shape: dict[str, Any] = field(default_factory=lambda: dict(SHAPE))
    reads_packs: bool = True
    """Whether rows may stand side by side. Layers that carry a state from token to token would let them see each other."""

    def write(self, folder: Path) -> Path:
        """Write the model with random weights, the same ones every time, into `folder` and return it."""
        config = getattr(transformers, self.config)(**self.shape | self.options)
        torch.manual_seed(0)
        model = transformers.AutoModelForCausalLM.from_config(config)
        with torch.no_grad():
            for weight in model.parameters():
                if weight.ndim == 1:  # norms, biases and sinks begin at ones and zeros, where a forgotten one would not show
                    weight.add_(0.1 * torch.randn_like(weight))
        model.save_pretrained(folder)
        return folder


GPT2 = {
    "vocab_size": VOCABULARY, "n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": LENGTH, "bos_token_id": None, "eos_token_id": 1,
    "initializer_range": 0.1,
}  # fmt: skip
LINEAR = {
    "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 16, "linear_value_head_dim": 16,
    "linear_conv_kernel_dim": 4, "head_dim": 16, "layer_types": ["linear_attention", "full_attention"],
}  # fmt: skip
MAMBA = {"mamba_n_heads": 8, "mamba_d_head": 16, "mamba_d_state": 16, "mamba_n_groups": 1, "mamba_d_conv": 4, "mamba_chunk_size": 8}
EXPERTS = {"moe_intermediate_size": 32, "num_experts": 4, "num_experts_per_tok": 2}
FAMILIES = [
    Family("llama", "LlamaConfig", {"tie_word_embeddings": True}),
    Family("qwen2", "Qwen2Config"),
    Family("qwen3", "Qwen3Config", {"head_dim": 16}),
    Family(
        "gemma2",
        "Gemma2Config",
        {"head_dim": 16, "query_pre_attn_scalar": 16, "sliding_window": WINDOW, "layer_types": BOTH, "attn_logit_softcapping": 5.0},
        reads_packs=False,  # its scores are bent, which packs are not computed with
    ),
    Family("gemma3", "Gemma3TextConfig", {"head_dim": 16, "query_pre_attn_scalar": 16, "sliding_window": WINDOW, "layer_types": BOTH}),
    Family("phi", "PhiConfig", {"partial_rotary_factor": 0.5, "attention_dropout": 0.0, "resid_pdrop": 0.0, "embd_pdrop": 0.0}),
    Family("phi3", "Phi3Config", {"partial_rotary_factor": 0.5, "original_max_position_embeddings": LENGTH}),
    Family(
        "granite",
        "GraniteConfig",
        {"embedding_multiplier": 3.0, "attention_multiplier": 0.2, "residual_multiplier": 0.6, "logits_scaling": 4.0},
    ),
    Family(
        "gpt-oss",
        "GptOssConfig",
        {
            "head_dim": 16,
            "num_local_experts": 4,
            "num_experts_per_tok": 2,
            "sliding_window": WINDOW,
            "layer_types": BOTH,
            "rope_parameters": {
                "rope_type": "yarn",
                "rope_theta": 150_000.0,
                "factor": 32.0,
                "original_max_position_embeddings": LENGTH // 32,
            },
        },
    ),
    Family("qwen3-moe", "Qwen3MoeConfig", EXPERTS | {"head_dim": 16}),
    Family("mistral", "MistralConfig", {"sliding_window": WINDOW}),
    Family("ministral", "MinistralConfig", {"head_dim": 16, "sliding_window": WINDOW, "layer_types": BOTH}),
    Family("smollm3", "SmolLM3Config", {"no_rope_layers": [1, 0], "use_sliding_window": False}),
    Family("gpt2", "GPT2Config", shape=GPT2),
    Family("qwen3-next", "Qwen3NextConfig", LINEAR | EXPERTS | {"shared_expert_intermediate_size": 32}, reads_packs=False),
    Family("qwen3.5", "Qwen3_5TextConfig", LINEAR, reads_packs=False),
    Family(
        "granite-hybrid",
        "GraniteMoeHybridConfig",
        {**MAMBA, "layer_types": ["mamba", "attention"], "num_local_experts": 0, "shared_intermediate_size": 96},
        reads_packs=False,
    ),
]
"""Falcon-H1 and its like are missing: peft refuses to adapt all of their linear layers."""


def written_once(folder: Path) -> Callable[[str], Path]:
    """Return what writes a family into a folder of its own below `folder`, by its name and once."""

    @lru_cache
    def write(name: str) -> Path:
        return next(family for family in FAMILIES if family.name == name).write(folder / name)

    return write
