"""Which of trl's exact settings is its fastest here: tried once for a machine, a model and its rows, and remembered."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.results_file import machine, versions

ROOT = Path(__file__).resolve().parents[1]
PACKS = [["--packing", "--max-length", str(tokens), "--micro-batch", str(at_once)] for tokens in (2048, 1024, 512) for at_once in (2, 1)]
TRIED_STEPS = 2


@dataclass(frozen=True)
class Work:
    """What is trained, by both sides."""

    model: Path
    rows: Path
    batch: int = 16
    steps: int = 8
    precision: str = "bf16"
    qlora: bool = False
    cpu: bool = False

    def arguments(self, *, steps: int | None = None) -> list[str]:
        """Return it as both sides take it."""
        flags = [f"--{name}" for name in ("qlora", "cpu") if getattr(self, name)]
        numbers = ["--batch", str(self.batch), "--steps", str(steps or self.steps), "--precision", self.precision]
        return [str(self.model), str(self.rows), *numbers, *flags]


def run_side(module: str, arguments: list[str]) -> dict[str, Any]:
    """Run one side in a process of its own and return what it printed last."""
    done = subprocess.run([sys.executable, "-m", module, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{module} failed:\n{done.stderr[-4000:]}")
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def candidates(peer: str, batch: int, precision: str) -> list[list[str]]:
    """Return the settings that are tried: rows at once, and in bf16 also without autocast; all compute the same step."""
    at_once = [["--micro-batch", str(size)] for size in (16, 8, 4, 2, 1) if batch % size == 0]
    kinds = [[], ["--no-autocast"]] if precision == "bf16" else [[]]
    return [[*some, *kind] for some in (PACKS if peer == "packing" else at_once) for kind in kinds]


def fastest_settings(work: Work, peer: str, memory: Path) -> list[str]:
    """Return the fastest of the candidates; `default` is what trl does when nobody chooses."""
    if peer == "default":
        return ["--default", *(["--micro-batch", "8"] if work.batch % 8 == 0 else [])]
    known = json.loads(memory.read_text(encoding="utf-8")) if memory.exists() else {}
    key = _key(work, peer)
    if key not in known:
        tried = {" ".join(extra): _speed(work, extra) for extra in candidates(peer, work.batch, work.precision)}
        known[key] = {"machine": machine(), "versions": versions(), "rows_per_second": tried, "chosen": max(tried, key=tried.__getitem__)}
        memory.parent.mkdir(parents=True, exist_ok=True)
        memory.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
    chosen: str = known[key]["chosen"]
    return chosen.split()


def _speed(work: Work, extra: list[str]) -> float:
    speed: float = run_side("bench.peers.trl_sft", [*work.arguments(steps=TRIED_STEPS), *extra])["rows_per_second"]
    print(f"  trl with {' '.join(extra)}: {speed:.2f} rows/s", file=sys.stderr)
    return speed


def _key(work: Work, peer: str) -> str:
    """Return what the choice depends on."""
    content = hashlib.sha256((work.model / "config.json").read_bytes() + work.rows.read_bytes()).hexdigest()[:12]
    parts = [work.rows.stem, work.model.name, work.precision, "qlora" if work.qlora else "lora", peer, f"{work.batch} rows", content]
    return " ".join([*parts, machine()])
