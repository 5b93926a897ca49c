"""Training against trl's SFTTrainer: the same model, rows and steps, in turns, each in a process of its own.

    python -m bench.train_vs_trl                                                 # the table, kept in bench/results/train_*.json
    python -m bench.train_vs_trl --model M --rows R.jsonl --batch 16 --steps 8 --precision bf16 [--qlora] [--peer tuned|default|packing]

Rows a second of the steps after the first, as medians of the repeats. The losses and the gradients' norms of both sides must agree,
or the benchmark fails: a speed that trains something else is none. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.models import made
from bench.parity import parity
from bench.results_file import FOLDER, keep, machine, versions
from bench.sides import OURS, TRL, Work, in_turns, median, per_row, summary
from bench.trl_settings import fastest_settings

MEMORY = FOLDER / "trl_settings.json"


@dataclass(frozen=True)
class Line:
    """A line of the table: what is trained, against which settings of the peer, and the ratio that has to be reached."""

    name: str
    shape: str
    rows: str
    peer: str
    floor: float
    steps: int
    precision: str = "bf16"


TABLE = [
    Line("shared_prefix_6m", "6m", "shared-prefix", "tuned", 7.0, steps=8),
    Line("shared_prefix_135m", "135m", "shared-prefix", "tuned", 7.0, steps=2),
    Line("plain_6m", "6m", "plain", "tuned", 2.0, steps=8),
    Line("plain_6m_packing", "6m", "plain", "packing", 1.8, steps=8),
    Line("plain_135m_default", "135m", "plain", "default", 3.5, steps=3),
    Line("plain_135m", "135m", "plain", "tuned", 2.5, steps=3),
]
"""A step of the larger shape takes minutes on the peer's side, so there are few of them."""


def main() -> None:
    """Measure what was asked for, or the table."""
    wanted = _arguments()
    if wanted.model is not None:
        work = Work(wanted.model, wanted.rows, wanted.batch, wanted.steps, wanted.precision, wanted.qlora, wanted.cpu)
        found = compared(work, wanted.peer, wanted.repeats)
        print(json.dumps(found))
        sys.exit(0 if found["parity"] is None or found["parity"]["holds"] else 1)
    lines = [line for line in TABLE if not wanted.only or line.name in wanted.only]
    found_lines = {line.name: measured(line, wanted.repeats) for line in lines}
    print(json.dumps({name: {key: found[key] for key in ("ratio", "floor", "parity")} for name, found in found_lines.items()}))
    sys.exit(0 if all(found["holds"] for found in found_lines.values()) else 1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--rows", type=Path)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--precision", choices=["bf16", "fp32"], default="bf16")
    parser.add_argument("--qlora", action="store_true")
    parser.add_argument("--cpu", action="store_true", help="leave a GPU alone")
    parser.add_argument("--peer", choices=["tuned", "default", "packing"], default="tuned")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="the last line is JSON with or without it")
    parser.add_argument("--only", nargs="*", choices=[line.name for line in TABLE], help="lines of the table")
    wanted = parser.parse_args()
    if (wanted.model is None) != (wanted.rows is None):
        parser.error("--model and --rows go together.")
    return wanted


def measured(line: Line, repeats: int) -> dict[str, Any]:
    """Make what a line needs, measure it, keep it."""
    model, rows = made(line.shape, line.rows)
    found = compared(Work(model, rows, steps=line.steps, precision=line.precision, cpu=True), line.peer, repeats)
    found |= {"floor": line.floor, "holds": found["ratio"] >= line.floor and (found["parity"] is None or found["parity"]["holds"])}
    print(f"{line.name}: {found['ratio']:.2f} times trl ({line.peer}); kept in {keep(f'train_{line.name}', found).name}")
    return found


def compared(work: Work, peer: str, repeats: int) -> dict[str, Any]:
    """Run both sides in turns and return their medians, and our rows a second over the peer's."""
    settings = fastest_settings(work, peer, MEMORY)
    ours, theirs = in_turns([(OURS, work.arguments()), (TRL, [*work.arguments(), *settings])], repeats)
    return {
        "ratio": round(median(ours, "rows_per_second") / median(theirs, "rows_per_second"), 3),
        "ratio_cpu_seconds": round(per_row(theirs) / per_row(ours), 3),
        "work": work.described() | {"repeats": repeats},
        "ours": summary(ours),
        "peer": summary(theirs) | {"chosen": peer, "settings": " ".join(settings), "name": theirs[0]["peer"]},
        # With packing a step holds other rows, so its losses are others too.
        "parity": None if peer == "packing" else parity(ours, theirs, work.precision),
        "losses": {"ours": ours[0]["losses"], "peer": theirs[0]["losses"]},
        "machine": machine(),
        "versions": versions(),
    }


if __name__ == "__main__":
    main()
