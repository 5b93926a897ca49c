"""What the presets cost on a larger base: speed and memory on the shape of a 135-million-parameter model with random weights.

    python -m bench.shape_135m [--steps 6]

Quality means nothing on random weights and is not measured; a step costs the same whatever the weights are.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
import yaml
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from app.domain.specs import PRESETS
from bench.results_file import keep

ROOT = Path(__file__).resolve().parents[1]
STARTER, SAMPLE = ROOT / "models" / "hone-starter", ROOT / "samples" / "support-emails"
HELD_OUT = 8
"""Held-out rows; the check at the end is not part of what is measured."""


def make_base(folder: Path) -> int:
    """Write a Llama of 135 million random parameters (SmolLM2-135M's shape) and return how many they are."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(STARTER)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=49_152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9, num_key_value_heads=3,
        max_position_embeddings=2048, tie_word_embeddings=True, bos_token_id=None, eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    model = LlamaForCausalLM(config).bfloat16()
    model.save_pretrained(folder)
    return int(model.num_parameters())


def trained(base: Path, folder: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Train a few steps in a process of its own; return the median speed without the first step, and the peak memory."""
    out = Path(tempfile.mkdtemp(dir=folder))
    rows = (SAMPLE / "test.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)[:HELD_OUT]
    (out / "held-out.jsonl").write_text("".join(rows), encoding="utf-8")
    spec = {
        "base_model": str(base), "method": "sft", "dataset": str(SAMPLE / "train.jsonl"), "eval_dataset": str(out / "held-out.jsonl"),
        "settings": {**settings, "eval_every_steps": 1_000_000},
    }  # fmt: skip
    (out / "spec.yaml").write_text(yaml.safe_dump(spec), encoding="utf-8")
    subprocess.run([sys.executable, "-m", "workers.train", out / "spec.yaml", "--out", out], cwd=ROOT, check=True, capture_output=True)
    events = [json.loads(line) for line in (out / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    speeds = [event["value"] for event in events if event.get("name") == "train/tokens_per_second" and event["step"] > 1]
    peaks = [event["value"] for event in events if event.get("name") == "memory/peak_bytes"]
    return {**settings, "tokens_per_second": round(statistics.median(speeds), 1), "peak_memory_bytes": int(max(peaks))}


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=6)
    wanted = parser.parse_args()
    ranks = {name.value: preset["rank"] for name, preset in PRESETS.items()}
    tried = [
        (preset, {"tuning": tuning, "rank": rank, "max_steps": wanted.steps})
        for preset, rank in ranks.items()
        for tuning in ("lora", "qlora")
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        parameters = make_base(folder / "base")
        figures = [{"preset": preset, **trained(folder / "base", folder, settings)} for preset, settings in tried]
    print(json.dumps(figures, indent=2))
    print(f"Kept in {keep('shape_135m', {'parameters': parameters, 'measured': figures}).name}")


if __name__ == "__main__":
    main()
