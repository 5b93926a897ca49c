"""Which of a peer's exact settings is its fastest here: tried once for a machine, its versions, a model and its rows, and remembered."""

from __future__ import annotations

import hashlib
import json
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

from bench.results_file import machine, versions
from bench.sides import TRL, SideFailed, Work, run_side

if TYPE_CHECKING:
    from pathlib import Path

PACKS = [["--packing", "--max-length", str(tokens), "--micro-batch", str(at_once)] for tokens in (2048, 1024, 512) for at_once in (2, 1)]
TRIED_STEPS = 4
"""At most; the first is not timed."""


def candidates(peer: str, work: Work, side: str = TRL) -> list[list[str]]:
    """Return the settings that are tried: rows at once, and for trl in bf16 also without autocast; all compute the same step."""
    halves = (work.batch >> times for times in range(work.batch.bit_length()))
    at_once = [["--micro-batch", str(size)] for size in halves if work.batch % size == 0]
    if side != TRL:  # Unsloth chooses all else itself
        return at_once
    kinds = [[], ["--no-autocast"]] if work.precision == "bf16" else [[]]
    if not work.cpu:
        kinds = [[*kind, *faster] for kind in kinds for faster in _on_a_gpu()]
    return [[*some, *kind] for some in (PACKS if peer == "packing" else at_once) for kind in kinds]


def _on_a_gpu() -> list[list[str]]:
    """Return what may be faster on a GPU and is installed."""
    attention = ["--attention", "flash_attention_2"] if find_spec("flash_attn") else []
    liger = ["--liger"] if find_spec("liger_kernel") else []
    return [[], *([attention] if attention else []), *([[*attention, *liger]] if liger else [])]


def fastest_settings(work: Work, peer: str, memory: Path, side: str = TRL) -> list[str]:
    """Return the fastest of a side's candidates; `default` is what it does when nobody chooses."""
    if peer == "default":
        return ["--default", *(["--micro-batch", "8"] if work.batch % 8 == 0 else [])]
    known = json.loads(memory.read_text(encoding="utf-8")) if memory.exists() else {}
    key = _key(work, peer, side)
    if known.get(key, {}).get("versions") != versions():
        tried = {" ".join(extra): _speed(work, side, extra) for extra in candidates(peer, work, side)}
        if not any(tried.values()):
            raise SideFailed(f"{side} has no setting that fits into memory here.")
        known[key] = {"machine": machine(), "versions": versions(), "rows_per_second": tried, "chosen": max(tried, key=tried.__getitem__)}
        memory.parent.mkdir(parents=True, exist_ok=True)
        memory.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
    chosen: str = known[key]["chosen"]
    return chosen.split()


def _speed(work: Work, side: str, extra: list[str]) -> float:
    """Return a setting's rows a second; one for which there is too little memory reaches none."""
    name = f"{side.rpartition('.')[2]} with {' '.join(extra)}"
    try:
        speed: float = run_side(side, [*work.arguments(steps=min(TRIED_STEPS, work.steps)), *extra])["rows_per_second"]
    except SideFailed as failed:
        if "memory" not in str(failed).splitlines()[-1].lower():
            raise
        print(f"  {name} does not fit into memory", file=sys.stderr)
        return 0.0
    print(f"  {name}: {speed:.2f} rows/s", file=sys.stderr)
    return speed


def _key(work: Work, peer: str, side: str) -> str:
    """Return what the choice depends on."""
    content = hashlib.sha256((work.model / "config.json").read_bytes() + work.rows.read_bytes()).hexdigest()[:12]
    parts = [
        work.rows.stem,
        work.model.name,
        work.precision,
        "qlora" if work.qlora else "lora",
        *([] if side == TRL else [side.rpartition(".")[2]]),
        peer,
        f"{work.batch} rows",
        content,
    ]
    return " ".join([*parts, machine()])
