"""Training on a GPU: ours against trl at its fastest exact settings and, where it is installed, Unsloth; the same rows and steps.

    python -m bench.gpu_train [--only NAME …] [--repeats 5]
    python -m bench.gpu_train --tiny --device cpu          # the same program on a tiny model, to see that it works

Tokens are those of the rows, no padding, and what rows share counts in each: a speed is how fast the same work is done. The model's
FLOPs utilisation (MFU; Chowdhery et al., PaLM, 2022, appendix B) is 4 N a token (forward, and the gradient of the states: frozen weights
need none of their own), N the weights of all linear layers and the head, attention left out, over what a large bf16 product reaches on
this very device. It counts what the rows ask for, not what a side executes: one that computes shared tokens once may pass 1.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench.gpu_rows import write_rows
from bench.models import SHAPES, Shape, make_model
from bench.parity import parity
from bench.results_file import FOLDER, keep
from bench.sides import OURS, ROOT, TRL, Work, in_turns, median, summary
from bench.trl_settings import fastest_settings

UNSLOTH = "bench.peers.unsloth_sft"
FLOPS_PER_WEIGHT = 4


@dataclass(frozen=True)
class Line:
    """What is trained, and the ratios that have to be reached: to trl, and to Unsloth."""

    name: str
    shape: str
    rows: str
    qlora: bool = False
    batch: int = 16
    steps: int = 8
    floors: tuple[float | None, float | None] = (None, None)


TABLE = [
    Line("short_0.5b", "0.5b", "short", batch=64, floors=(1.8, 1.2)),
    Line("short_1b", "1b", "short", batch=64, floors=(1.8, 1.2)),
    Line("shared_0.5b", "0.5b", "shared", batch=32, floors=(None, 3.0)),
    Line("long_8b_lora", "8b", "long", floors=(1.25, 1.0)),
    Line("long_8b_qlora", "8b", "long", qlora=True, floors=(1.25, 1.0)),
]
TINY = [Line("short_tiny", "tiny", "short", batch=4, steps=2), Line("shared_tiny", "tiny", "shared", batch=4, steps=2)]


def main() -> None:
    """Measure each line, or say that there is nothing to measure on."""
    wanted = _arguments()
    if wanted.device == "gpu" and not _has_gpu():
        print("gpu_train: torch finds no GPU here, so nothing was measured.")
        return
    lines = [line for line in (TINY if wanted.tiny else TABLE) if not wanted.only or line.name in wanted.only]
    with tempfile.TemporaryDirectory(dir=wanted.models) as name:
        found = {line.name: measured(line, Path(name), wanted) for line in lines}
    print(json.dumps(found))
    sys.exit(0 if all(figures["holds"] for figures in found.values()) else 1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["gpu", "cpu"], default="gpu")
    parser.add_argument("--tiny", action="store_true", help="a tiny model, whose figures mean nothing and are not kept")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--models", type=Path, help="where models are made and removed again; 17 GB for the largest")
    parser.add_argument("--only", nargs="*", choices=[line.name for line in TABLE + TINY])
    parser.add_argument("--peer", choices=["tuned", "default"], default="tuned")
    return parser.parse_args()


def measured(line: Line, folder: Path, wanted: argparse.Namespace) -> dict[str, Any]:
    """Make what a line needs, run all sides in turns, keep what came of it."""
    shape, cpu = SHAPES[line.shape], wanted.device == "cpu"
    model, rows = folder / line.shape, write_rows(folder / f"{line.rows}.jsonl", line.rows, line.batch * line.steps)
    if not model.exists():
        for other in folder.iterdir():  # one model at a time: the largest fill a disk
            if other.is_dir():
                shutil.rmtree(other)
        text = ROOT / "samples" / "support-emails" / "train.jsonl"
        alone(make_model, model, shape, text, dtype="float32" if cpu else "bfloat16", device="cpu" if cpu else "cuda")
    work = Work(model, rows, line.batch, line.steps, "fp32" if wanted.tiny else "bf16", line.qlora, cpu)
    memory = folder / "settings.json" if wanted.tiny else FOLDER / "trl_settings.json"
    peers = {"trl": TRL} | ({"unsloth": UNSLOTH} if find_spec("unsloth") and not cpu else {})
    settings = {name: fastest_settings(work, wanted.peer, memory, side) for name, side in peers.items()}
    sides = [(OURS, work.arguments()), *((side, [*work.arguments(), *settings[name]]) for name, side in peers.items())]
    runs = dict(zip(["ours", *peers], in_turns(sides, wanted.repeats), strict=True))
    figures = _figures(line, runs, _tokens(work), alone(matrix_rate, cpu=cpu))
    print(f"{line.name}: {figures['ratios']}", file=sys.stderr)
    if not wanted.tiny:
        keep(f"gpu_{line.name}", {"work": work.described(), "peer_settings": settings, **figures})
    return figures


def _figures(line: Line, runs: dict[str, list[dict[str, Any]]], tokens: int, rate: float) -> dict[str, Any]:
    """Return what every side reached, our ratios to the peers, and whether all did the same."""
    precision = runs["ours"][0]["settings"]["precision"]
    sides, ratios, same = {}, {}, {}
    for name, found in runs.items():
        speed = tokens / median(found, "seconds")
        sides[name] = summary(found) | {
            "tokens_per_second": round(speed, 1),
            "mfu": round(speed * FLOPS_PER_WEIGHT * matrix_weights(SHAPES[line.shape]) / rate, 4),
            "peak_gpu_bytes": found[0]["peak_gpu_bytes"],
        }
        if name != "ours":
            ratios[name] = round(speed_of(sides["ours"]) / speed_of(sides[name]), 3)
            same[name] = parity(runs["ours"], found, precision)
    floors = dict(zip(("trl", "unsloth"), line.floors, strict=True))
    reached = all(ratios[name] >= (floors[name] or 0.0) for name in ratios)
    return {
        "ratios": ratios,
        "floors": floors,
        "holds": reached and all(one["holds"] for one in same.values()),
        "parity": same,
        "sides": sides,
        "tokens_timed": tokens,
        "matrix_rate_flops": rate,
    }


def speed_of(side: dict[str, Any]) -> float:
    """Return a side's tokens a second."""
    return float(side["tokens_per_second"])


def matrix_weights(shape: Shape) -> int:
    """Return how many weights a token is multiplied with: all linear layers and the head."""
    attention = shape.hidden * shape.head * 2 * (shape.heads + shape.kv_heads)
    return shape.layers * (attention + 3 * shape.hidden * shape.intermediate) + shape.hidden * shape.vocabulary


def _tokens(work: Work) -> int:
    """Count the tokens of the steps that are timed, all but the first."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(work.model)
    rows = [json.loads(line)["messages"] for line in work.rows.read_text(encoding="utf-8").splitlines()[work.batch :]]
    return sum(len(tokenizer(tokenizer.apply_chat_template(turns, tokenize=False))["input_ids"]) for turns in rows)


def alone(function: Callable[..., Any], *given: Any, **named: Any) -> Any:
    """Call a function in a process of its own, which leaves nothing on the GPU."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *given, **named).result()


def matrix_rate(*, cpu: bool) -> float:
    """Return the FLOP/s of a large bf16 product on this device, the median of some."""
    import torch

    size, device = (512, "cpu") if cpu else (8192, "cuda")
    one, other = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    seconds = []
    for _ in range(12):
        if not cpu:
            torch.cuda.synchronize()
        began = time.perf_counter()
        one @ other
        if not cpu:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return float(2 * size**3 / sorted(seconds)[len(seconds) // 2])


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


if __name__ == "__main__":
    main()
