"""The peer's side of the training benchmark: trl's SFTTrainer with peft, as its users would set it up for speed.

    python -m bench.peers.trl_sft MODEL ROWS.jsonl [--batch 16] [--steps 8] [--precision bf16|fp32] [--packing] [--default] [--qlora]

One optimiser step covers --batch rows in the file's order (with --packing a step covers --batch // 8 packs of --max-length
tokens; rows are counted inside the packs, and losses don't compare). --default: trl's own defaults (float32 weights under bf16
autocast, gradient checkpointing). --no-autocast: bf16 weights without autocast. Prints one JSON line: seconds of the training
loop alone without the first step, rows/s, losses.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from typing import Any

import torch
import transformers
import trl
from datasets import load_dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, TrainerCallback
from trl import SFTConfig, SFTTrainer

from bench.peers.start import Clock, draw_adapters

PACKS = 8
"""A step with packing covers one pack for so many rows of a batch."""


class Ticking(TrainerCallback):
    """Tells the clock when a step has ended."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Note the time."""
        self.clock.tick()


def main() -> None:
    """Train and print the figures."""
    wanted = arguments()
    tokenizer, cuda = AutoTokenizer.from_pretrained(wanted.model), torch.cuda.is_available() and not wanted.cpu
    adapter = LoraConfig(r=wanted.rank, lora_alpha=2 * wanted.rank, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM")
    print(json.dumps(measured(wanted, _model(wanted, cuda=cuda), tokenizer, adapter)))


def measured(wanted: argparse.Namespace, model: Any, tokenizer: Any, adapter: LoraConfig | None) -> dict[str, Any]:
    """Train a model, which has its adapter already where none is given, and return the figures."""
    cuda = torch.cuda.is_available() and not wanted.cpu
    clock = Clock()
    trainer: Any = SFTTrainer(
        model=model,
        processing_class=tokenizer,
        train_dataset=load_dataset("json", data_files=wanted.rows, split="train"),
        peft_config=adapter,
        callbacks=[Ticking(clock)],
        args=_settings(wanted, cuda=cuda),
    )
    draw_adapters(trainer.model.named_parameters())
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    trainer.train()
    steps = len(clock.ends)
    rows_in = [1] * (wanted.batch * wanted.steps)
    if wanted.packing:  # how many rows each pack holds
        rows_in = [len(lengths) for lengths in trainer.train_dataset["seq_lengths"]]
    per_step = _sequences(wanted)
    rows = sum(rows_in[place % len(rows_in)] for place in range(per_step, per_step * steps))
    logged = trainer.state.log_history
    return {
        "peer": f"trl {trl.__version__}, transformers {transformers.__version__}, torch {torch.__version__}",
        "settings": vars(wanted),
        **clock.figures(rows),
        "losses": [round(entry["loss"], 6) for entry in logged if "loss" in entry],
        "gradient_norms": [round(entry["grad_norm"], 6) for entry in logged if "grad_norm" in entry],
    }


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("rows")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--micro-batch", type=int, default=0, help="rows per forward; 0: the whole batch")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--lr", type=float, default=2e-4)
    parser.add_argument("--max-length", type=int, default=2048)
    parser.add_argument("--precision", choices=["bf16", "fp32"], default="bf16")
    parser.add_argument("--attention", default="sdpa", help="what transformers calls the implementation")
    parser.add_argument("--cpu", action="store_true", help="leave a GPU alone")
    for name in ("packing", "default", "qlora", "no-autocast", "liger"):
        parser.add_argument(f"--{name}", action="store_true")
    return parser.parse_args()


def _sequences(wanted: argparse.Namespace) -> int:
    """Return how many sequences a step covers: rows, or packs of them."""
    rows: int = wanted.batch
    return max(1, rows // PACKS) if wanted.packing else rows


def _model(wanted: argparse.Namespace, *, cuda: bool) -> Any:
    quantisation = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=torch.bfloat16
    )
    quantised = {"quantization_config": quantisation, "device_map": "cuda:0" if cuda else "cpu"}
    return AutoModelForCausalLM.from_pretrained(
        wanted.model,
        dtype=torch.float32 if wanted.default or wanted.precision == "fp32" else torch.bfloat16,
        attn_implementation=wanted.attention,
        **(quantised if wanted.qlora else {}),
    )


def _settings(wanted: argparse.Namespace, *, cuda: bool) -> Any:
    sequences = _sequences(wanted)
    micro = wanted.micro_batch or sequences
    return SFTConfig(
        output_dir=tempfile.mkdtemp(),
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=sequences // micro,
        max_steps=wanted.steps,
        learning_rate=wanted.lr,
        lr_scheduler_type="constant",
        logging_steps=1,
        report_to=[],
        save_strategy="no",
        bf16=wanted.precision == "bf16" and not wanted.no_autocast,
        gradient_checkpointing=wanted.default,
        train_sampling_strategy="sequential",
        assistant_only_loss=True,
        max_length=wanted.max_length,
        packing=wanted.packing,
        use_liger_kernel=wanted.liger,
        use_cpu=not cuda,
        seed=0,
        data_seed=0,
        dataloader_num_workers=0,
        disable_tqdm=True,
    )


if __name__ == "__main__":
    main()
