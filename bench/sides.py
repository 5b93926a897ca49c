"""The sides of a comparison: what they train, each in a process of its own, in turns, and what their runs come to."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    Side = tuple[str, list[str]]

ROOT = Path(__file__).resolve().parents[1]
OURS, TRL = "bench.peers.hone_sft", "bench.peers.trl_sft"


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

    def described(self) -> dict[str, Any]:
        """Return it as a result's file names it."""
        return asdict(self) | {"model": self.model.name, "rows": self.rows.name}

    def arguments(self, *, steps: int | None = None) -> list[str]:
        """Return it as both sides take it."""
        flags = [f"--{name}" for name in ("qlora", "cpu") if getattr(self, name)]
        numbers = ["--batch", str(self.batch), "--steps", str(steps or self.steps), "--precision", self.precision]
        return [str(self.model), str(self.rows), *numbers, *flags]


class SideFailed(SystemExit):
    """A side ended without figures, which ends a benchmark that cannot do without it."""


def run_side(module: str, arguments: list[str]) -> dict[str, Any]:
    """Run one side in a process of its own and return what it printed last."""
    done = subprocess.run([sys.executable, "-m", module, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SideFailed(f"{module} failed:\n{done.stderr[-4000:]}")
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def in_turns(sides: Sequence[Side], repeats: int) -> tuple[list[dict[str, Any]], ...]:
    """Run each side so many times, the first one first and last in turns, and return what each printed."""
    found: tuple[list[dict[str, Any]], ...] = tuple([] for _ in sides)
    for number in range(repeats):
        for place in range(len(sides))[:: 1 if number % 2 else -1]:
            found[place].append(run_side(*sides[place]))
        print(f"  {number + 1}/{repeats}: " + " against ".join(f"{side[-1]['rows_per_second']:.2f}" for side in found), file=sys.stderr)
    return found


def summary(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return medians of one side's runs, and the least and the most of each figure."""
    told, names = runs[0].get("told"), ("rows_per_second", "seconds", "cpu_seconds")
    return (
        {name: median(runs, name) for name in names}
        | {
            "spread": {name: [min(found), max(found)] for name in names for found in [[run[name] for run in runs]]},
            "steps_timed": runs[0]["steps_timed"],
            "gradient_norms": runs[0]["gradient_norms"],
        }
        | ({"told": told} if told else {})
    )


def median(runs: Sequence[dict[str, Any]], name: str) -> float:
    """Return the median of a figure."""
    return round(float(statistics.median(run[name] for run in runs)), 4)


def per_row(runs: Sequence[dict[str, Any]]) -> float:
    """Return the median of the CPU's seconds for a row."""
    return float(statistics.median(run["cpu_seconds"] / (run["rows_per_second"] * run["seconds"]) for run in runs))
