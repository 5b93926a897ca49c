"""The peer's side of the start: `trl sft` as a fresh process, which says when its first optimiser step has ended, and leaves.

python -m bench.peers.trl_first_step MODEL ROWS.jsonl BATCH RANK MAX_LENGTH
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from typing import Any

import torch
from datasets import load_dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import SFTConfig, SFTTrainer


class FirstStep(TrainerCallback):
    """Says the time at the end of the first step."""

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Say it, and leave at once."""
        sys.stdout.write(f"{time.time()}\n")
        sys.stdout.flush()
        os._exit(0)


def main(model: str, rows: str, batch: int, rank: int, max_length: int) -> None:
    """Train as far as the first step."""
    cuda = torch.cuda.is_available()
    trainer: Any = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(model, dtype=torch.bfloat16),
        processing_class=AutoTokenizer.from_pretrained(model),
        train_dataset=load_dataset("json", data_files=rows, split="train"),
        peft_config=LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM"),
        callbacks=[FirstStep()],
        args=SFTConfig(
            output_dir=tempfile.mkdtemp(),
            per_device_train_batch_size=batch,
            max_steps=2,
            learning_rate=2e-4,
            report_to=[],
            save_strategy="no",
            bf16=True,
            gradient_checkpointing=False,
            assistant_only_loss=True,
            max_length=max_length,
            use_cpu=not cuda,
            disable_tqdm=True,
        ),
    )
    trainer.train()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6]))
