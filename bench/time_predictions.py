"""Time as it is predicted after one measured step, against the real trainer: the steps that follow, by their operations at its rate.

    python -m bench.time_predictions

The first step warms up what libraries make at their first use; the second calibrates; what comes after it is predicted and timed. Rows
vary between an eighth of the longest and all of it, so steps do, too. One thread computes.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from app.domain.architectures import Architecture
from app.domain.memory_estimate import estimate_memory
from app.domain.packs import Work
from app.domain.specs import TrainingSettings
from app.domain.time_estimate import Sample, flops, learned
from bench.memory_predictions import HELD_OUT, Configuration, errors_of, run
from bench.random_bases import BASES, make_base, masked, write_rows
from bench.results_file import keep
from bench.watched_runs import watch
from workers.training.order import DataOrder

STEPS = 10
CALIBRATES = 2
"""The step that is measured before the rest is predicted."""
FLOOR = 0.20
"""No prediction may be further off than this."""
MIXED = {"max_steps": STEPS, "mixed": True}
CONFIGURATIONS = (
    run("llama-wide", 4, 256, **MIXED),
    run("llama-wide", 8, 512, **MIXED),
    run("llama-wide", 4, 256, dropout=0.1, **MIXED),
    run("llama-deep", 4, 128, tuning="full", precision="fp32", **MIXED),
    run("smollm2-135m", 4, 256, **MIXED),
    run("smollm2-135m", 4, 128, tuning="qlora", **MIXED),
    run("qwen2", 4, 256, gradient_checkpointing=10, rank=64, **MIXED),
    run("qwen3", 4, 256, precision="fp32", **MIXED),
    run("llama-untied", 4, 512, micro_batch_size=1, **MIXED),
    run("qwen2.5-0.5b", 2, 128, **MIXED),
)


def measure(configuration: Configuration, folder: Path) -> dict[str, Any]:
    """Train it, and return what its later steps took beside what the second one says they would."""
    base = folder / configuration.base
    if not base.exists():
        make_base(base, BASES[configuration.base], dtype=configuration.stored)
    rows, held_out = (write_rows(folder / name, some) for name, some in (("rows.jsonl", configuration.rows), ("few.jsonl", HELD_OUT)))
    settings = {**configuration.settings, "eval_every_steps": 1_000_000, "device": "cpu"}
    seen = watch({"base_model": str(base), "dataset": str(rows), "eval_dataset": str(held_out), "settings": settings}, folder / "run")
    arch = Architecture.from_config(json.loads((base / "config.json").read_text(encoding="utf-8")))
    needed = operations(arch, TrainingSettings.model_validate(settings), rows, base)
    rate = learned([Sample(needed[CALIBRATES - 1].total, seen.steps[CALIBRATES - 1])])
    expected = sum(each.total for each in needed[CALIBRATES:]) / rate.flops_per_second
    measured = sum(seen.steps[CALIBRATES:])
    return {
        "base": configuration.base,
        "settings": configuration.settings,
        "step_seconds": [round(each, 4) for each in seen.steps],
        "step_operations": [each.total for each in needed],
        "flops_per_second": rate.flops_per_second,
        "predicted_seconds": round(expected, 3),
        "measured_seconds": round(measured, 3),
        "error": round(expected / measured - 1, 4),
    }


def operations(arch: Architecture, settings: TrainingSettings, rows: Path, base: Path) -> list[Any]:
    """Return the operations of each step, by the lengths of its rows."""
    made = masked(rows, base, settings.max_length)
    order = DataOrder.over(len(made), batch_size=settings.batch_size, seed=settings.seed, epochs=None)
    found = []
    for number in range(1, STEPS + 1):
        step = [made[row] for row in order.step(number)]
        tokens = sum(len(row.ids) - 1 for row in step)
        share = sum(int(row.trained[1:].sum()) for row in step) / tokens
        work = Work(rows=len(step), steps=1, mean_tokens=tokens / len(step), longest_tokens=settings.max_length, trained_share=share)
        one = settings.model_copy(update={"max_steps": 1})
        found.append(flops(arch, one, work, estimate_memory(arch, one, work, "cpu", None)))
    return found


def main() -> None:
    """Measure, print and keep; fail where a prediction is too far off."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    found = []
    with tempfile.TemporaryDirectory() as name:
        for configuration in CONFIGURATIONS:
            found.append(measure(configuration, Path(name)))
            print(
                f"{found[-1]['base']:14} {found[-1]['measured_seconds']:7.1f} s {found[-1]['error']:+7.1%}  {configuration.own}", flush=True
            )
    summary = errors_of(found)
    print(json.dumps(summary))
    keep("time_predictions", {"steps": STEPS, "calibrated_on_step": CALIBRATES, "all": summary, "measured": found})
    sys.exit(summary["worst_error"] > FLOOR)


if __name__ == "__main__":
    main()
