"""QLoRA (NF4, double quantisation) against LoRA: the same rows, seed and steps; their held-out losses side by side.

    python -m bench.qlora_follows_lora [--steps 120] [--material ../shared/data]

Fails (exit 1) when at any evaluation the smoothed losses differ by more than max(5 %, 0.03 nats).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

from bench.material import BITEXT_TASK, MATERIAL, bitext
from bench.results_file import keep
from tools.running import HONE

SHARE, NATS = 0.05, 0.03
SMOOTHING = 0.5


def train(folder: Path, tuning: str, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Train without a server and return the events."""
    spec = {"base_model": "hone-starter", "dataset": "train.jsonl", "eval_dataset": "test.jsonl", "settings": settings | {"tuning": tuning}}
    (folder / f"{tuning}.yaml").write_text(yaml.safe_dump(spec))
    subprocess.run([HONE, "train", folder / f"{tuning}.yaml", "--out", folder / tuning], check=True)
    return [json.loads(line) for line in (folder / tuning / "events.jsonl").read_text().splitlines()]


def losses(events: list[dict[str, Any]]) -> dict[int, float]:
    """Return the held-out loss by step."""
    return {e["step"]: e["value"] for e in events if e["type"] == "metric" and e["name"] == "eval/loss"}


def smoothed(curve: dict[int, float]) -> dict[int, float]:
    """Return an exponential moving average."""
    result: dict[int, float] = {}
    held = None
    for step, value in sorted(curve.items()):
        held = value if held is None else SMOOTHING * held + (1 - SMOOTHING) * value
        result[step] = held
    return result


def main() -> None:
    """Train both, compare, keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--material", type=Path, default=MATERIAL)
    parser.add_argument("--steps", type=int, default=120)
    asked = parser.parse_args()
    settings = {"max_steps": asked.steps, "rank": 16, "seed": 7, "eval_every_steps": max(1, asked.steps // 8), "batch_size": 16}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, split, count in (("train.jsonl", "Training", 600), ("test.jsonl", "Testing", 128)):
            turns = [
                [("system", BITEXT_TASK), ("user", r["utterance"]), ("assistant", r["intent"])]
                for r in bitext(asked.material, split, count, 0)
            ]
            lines = [json.dumps({"messages": [{"role": role, "content": text} for role, text in row]}) for row in turns]
            (folder / file).write_text("\n".join(lines) + "\n")
        lora, qlora = train(folder, "lora", settings), train(folder, "qlora", settings)
    started = next(e for e in qlora if e["type"] == "started")
    left, right = smoothed(losses(lora)), smoothed(losses(qlora))
    gaps = {step: abs(left[step] - right[step]) - max(SHARE * left[step], NATS) for step in left}
    figures = {"settings": settings, "lora": losses(lora), "qlora": losses(qlora), "follows": all(gap <= 0 for gap in gaps.values())}
    chosen = {name: value for name, value in started["data"].items() if name != "base_dir"}
    figures |= {"widest_gap_beyond_tolerance": max(gaps.values()), "qlora_started": chosen}
    print(json.dumps(figures, indent=2))
    keep("qlora_follows_lora", figures)
    sys.exit(0 if figures["follows"] else 1)


if __name__ == "__main__":
    main()
