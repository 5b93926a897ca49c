"""Memory as it is predicted before a run, against the real trainer: what its process holds at most, less what its libraries take.

    python -m bench.memory_predictions                 # measures, predicts and keeps: some fifteen minutes of one core
    python -m bench.memory_predictions --device gpu    # the same on a GPU, by what torch had allocated there at most
    python -m bench.memory_predictions --predict       # predicts what was measured once more, with the formula as it is now

Bases of random weights, 58 to 494 million parameters. One thread computes, so the trainer makes no replicas and its process is the whole
run; each replica would hold what it computes at once for itself. `unseen` configurations were measured after the formula stood.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.domain.accelerators import Unit
from app.domain.architectures import Architecture
from app.domain.memory_estimate import LIBRARIES_BYTES, MemoryEstimate, estimate_memory
from app.domain.packs import Work
from app.domain.specs import TrainingSettings
from bench.random_bases import BASES, Rows, make_base, work_of, write_rows
from bench.results_file import FOLDER, keep
from bench.watched_runs import import_baseline, watch

NAME = {"cpu": "memory_predictions", "gpu": "memory_predictions_gpu"}
STEPS = 3
"""The first step takes what it takes; a second and a third show what stays and what grows."""
HELD_OUT = Rows(1, 16)
"""One short row: checking is not what is measured."""
MEDIAN, WORST = 0.10, 0.25
"""What has to be reached: the errors' median, and the greatest."""
PLAIN = {"precision": "bf16", "gradient_checkpointing": 0}


@dataclass(frozen=True)
class Configuration:
    """A run that is measured: its base, its rows, and the settings beside the plain ones."""

    base: str
    rows: Rows
    own: dict[str, Any] = field(default_factory=dict)
    stored: str = "bfloat16"
    is_unseen: bool = False

    @property
    def settings(self) -> dict[str, Any]:
        """All of its settings that are not left to the trainer."""
        return PLAIN | self.own | {"max_length": self.rows.tokens}

    @property
    def steps(self) -> int:
        """How many steps its rows are enough for, once."""
        return int(self.own["max_steps"])


def run(base: str, batch: int, length: int, **own: Any) -> Configuration:
    """Return a configuration of some rows a step of some tokens; `mixed`, `stored` and `is_unseen` are its own, the rest are settings."""
    known = {name: own.pop(name) for name in ("stored", "is_unseen") if name in own}
    mixed, steps = own.pop("mixed", False), own.pop("max_steps", STEPS)
    return Configuration(base, Rows(steps * batch, length, mixed), own | {"batch_size": batch, "max_steps": steps}, **known)


CONFIGURATIONS = (
    run("llama-wide", 4, 256),
    run("llama-wide", 4, 256, precision="fp32"),
    run("llama-wide", 8, 512),
    run("llama-wide", 4, 256, gradient_checkpointing=6),
    run("llama-deep", 8, 256, rank=32),
    run("llama-deep", 4, 256, tuning="full", precision="fp32"),
    run("smollm2-135m", 4, 256, gradient_checkpointing="auto"),
    run("smollm2-135m", 4, 256, tuning="qlora"),
    run("smollm2-135m", 2, 256, tuning="full"),
    run("smollm2-135m", 2, 128, tuning="full", precision="fp32", optimiser="adamw_8bit"),
    run("qwen2", 4, 512, rank=64),
    run("qwen3", 4, 512),
    run("llama-untied", 4, 1024, micro_batch_size=1),
    run("llama-wide", 4, 256, dropout=0.05),
    run("llama-wide", 4, 256, adapter="dora"),
    run("qwen2.5-0.5b", 2, 128),
    run("qwen3", 8, 256, precision="fp32", rank=8, mixed=True),
    run("llama-untied", 4, 256, tuning="qlora", precision="fp32"),
    run("smollm2-135m", 1, 1024),
    run("smollm2-135m", 16, 128, mixed=True),
    run("smollm2-135m", 8, 256, gradient_checkpointing=15, is_unseen=True),
    run("qwen2.5-0.5b", 4, 128, tuning="qlora", is_unseen=True),
    run("llama-wide", 8, 128, tuning="full", stored="float32", is_unseen=True),
    run("qwen2", 2, 512, tuning="full", precision="fp32", optimiser="adamw_8bit", gradient_checkpointing=10, is_unseen=True),
    run("gemma3", 4, 256, is_unseen=True),
    run("qwen2", 4, 256, dropout=0.1, is_unseen=True),
    run("qwen3", 2, 256, adapter="dora", is_unseen=True),
    run("smollm2-135m", 8, 256, mixed=True, max_steps=12, is_unseen=True),
    run("qwen2.5-0.5b", 8, 256, rank=32, mixed=True, is_unseen=True),
)


def measure(configuration: Configuration, bases: Path, folder: Path, kind: Unit) -> dict[str, Any]:
    """Train it and return what it is predicted from, and what was seen."""
    base = bases / f"{configuration.base}-{configuration.stored}"
    if not (base / "model.safetensors").exists():
        make_base(base, BASES[configuration.base], dtype=configuration.stored)
    rows, held_out = (write_rows(folder / name, some) for name, some in (("rows.jsonl", configuration.rows), ("few.jsonl", HELD_OUT)))
    settings = {**configuration.settings, "eval_every_steps": 1_000_000, "device": kind}
    seen = watch({"base_model": str(base), "dataset": str(rows), "eval_dataset": str(held_out), "settings": settings}, folder)
    return {
        "base": configuration.base,
        "settings": configuration.settings,
        "stored": configuration.stored,
        "is_unseen": configuration.is_unseen,
        "parameters": seen.started["total_parameters"],
        "work": work_of(rows, base, configuration.rows.tokens, configuration.steps).model_dump(),
        "layers_twice": seen.started["layers_twice"],
        "peak_bytes": seen.peak_bytes if kind == "cpu" else int(seen.metrics["memory/peak_bytes"]),
        "architecture": json.loads((base / "config.json").read_text(encoding="utf-8")),
    }


def predicted(measured: dict[str, Any], kind: Unit) -> MemoryEstimate:
    """Return what the formula says of a measured run."""
    arch, work = Architecture.from_config(measured["architecture"]), Work.model_validate(measured["work"])
    return estimate_memory(arch, TrainingSettings.model_validate(measured["settings"]), work, kind, None)


def net(found: MemoryEstimate, kind: Unit) -> int:
    """Return the part of an estimate that is measured: all but imported libraries; on a GPU what torch allocates."""
    parts = {part.key: part.bytes for part in found.parts}
    return found.total - (LIBRARIES_BYTES if kind == "cpu" else parts["context"] + parts["margin"])


def with_errors(found: dict[str, Any], kind: Unit) -> dict[str, Any]:
    """Return a document of measurements with what is predicted of each, and the errors."""
    for each in found["measured"]:
        estimate, peak = predicted(each, kind), each["peak_bytes"] - found["baseline_bytes"]
        each |= {"measured_bytes": peak, "predicted_bytes": net(estimate, kind), "parts": {p.key: p.bytes for p in estimate.parts}}
        each["error"] = round(each["predicted_bytes"] / peak - 1, 4)
    groups = {"all": found["measured"], "unseen": [each for each in found["measured"] if each["is_unseen"]]}
    return found | {name: errors_of(group) for name, group in groups.items()}


def errors_of(measured: list[dict[str, Any]]) -> dict[str, float]:
    """Return how far predictions were off: the median and the greatest error, as shares."""
    errors = [abs(each["error"]) for each in measured]
    return {"configurations": len(errors), "median_error": round(statistics.median(errors), 4), "worst_error": max(errors)}


def _measured(kind: Unit) -> dict[str, Any]:
    found = []
    with tempfile.TemporaryDirectory() as name:
        for number, configuration in enumerate(CONFIGURATIONS):
            found.append(measure(configuration, Path(name), Path(name) / f"run-{number}", kind))
            print(f"{number + 1} of {len(CONFIGURATIONS)}: {found[-1]['base']} {configuration.own}", flush=True)
        return {"baseline_bytes": import_baseline() if kind == "cpu" else 0, "measured": found}


def main() -> None:
    """Measure or read, predict, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu", "gpu"], default="cpu")
    parser.add_argument("--predict", action="store_true")
    given = parser.parse_args()
    path = FOLDER / f"{NAME[given.device]}.json"
    found = with_errors(json.loads(path.read_text(encoding="utf-8")) if given.predict else _measured(given.device), given.device)
    for each in found["measured"]:
        print(f"{each['base']:14} {each['measured_bytes'] / 1e6:6.0f} MB {each['error']:+7.1%}  {each['settings']}")
    print(json.dumps({name: found[name] for name in ("all", "unseen")}))
    if given.predict:
        path.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    else:
        keep(NAME[given.device], found)
    sys.exit(found["all"]["median_error"] > MEDIAN or found["all"]["worst_error"] > WORST)


if __name__ == "__main__":
    main()
