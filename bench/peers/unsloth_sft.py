"""Unsloth's side of the training benchmark on a GPU: its model and adapter under trl's SFTTrainer, as its documentation has it.

    python -m bench.peers.unsloth_sft MODEL ROWS.jsonl [what trl_sft takes]

Needs an environment that has unsloth. No GPU has run this file yet.
"""

from __future__ import annotations

import importlib
import json

TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def main() -> None:
    """Train and print the figures."""
    unsloth = importlib.import_module("unsloth")  # before trl and transformers, which it changes
    import torch

    from bench.peers.trl_sft import arguments, measured

    wanted = arguments()
    model, tokenizer = unsloth.FastLanguageModel.from_pretrained(
        wanted.model, max_seq_length=wanted.max_length, load_in_4bit=wanted.qlora, dtype=torch.bfloat16
    )
    model = unsloth.FastLanguageModel.get_peft_model(
        model, r=wanted.rank, lora_alpha=2 * wanted.rank, lora_dropout=0, target_modules=TARGETS, bias="none", random_state=0,
        use_gradient_checkpointing="unsloth" if wanted.default else False,
    )  # fmt: skip
    figures = measured(wanted, model, tokenizer, None)
    print(json.dumps(figures | {"peer": f"unsloth {unsloth.__version__}, {figures['peer']}"}))


if __name__ == "__main__":
    main()
