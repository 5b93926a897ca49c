"""Models small enough to load in a moment, with the shape of real ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


def make_base(folder: Path, *, seed: int = 0, context: int = 512, **tokenizer: Any) -> Path:
    """Write a random Llama of some 100,000 parameters that says something else to each prompt."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from tests.workers.training.tiny import make_tokenizer

    fast = make_tokenizer(eos="<|endoftext|>", **tokenizer)
    fast.save_pretrained(folder)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(fast),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=context,
        initializer_range=0.5,  # far from uniform, so that greedy answers differ between prompts
        eos_token_id=fast.eos_token_id,
        pad_token_id=None,
        bos_token_id=None,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def make_adapter(base: Path, folder: Path, *, seed: int = 0) -> Path:
    """Write a LoRA adapter of a base that changes its answers at random."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(base, local_files_only=True)
    config = LoraConfig(r=4, lora_alpha=32, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
    get_peft_model(model, config).save_pretrained(str(folder))
    return folder


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base model that says nothing sensible."""
    return make_base(tmp_path_factory.mktemp("bases") / "tiny")


@pytest.fixture(scope="session")
def tiny_adapter(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter for it."""
    return make_adapter(tiny_base, tmp_path_factory.mktemp("adapters") / "one")
