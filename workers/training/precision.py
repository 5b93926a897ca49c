"""Which number format the products are computed in, and why: a CPU is measured, a GPU asked; the base and free memory count too."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import torch

from app.domain.figures import in_bytes
from workers.training.memory import memory_of

if TYPE_CHECKING:
    from typing import Any

    from app.domain.specs import TrainingSettings
    from workers.training.base_model import BaseModel

PROBE_ROWS = 512
WIDTHS = 128, 512
"""Narrower models are all overhead, and gain nothing; what pays at the width of the other pays beyond."""
LEAST_REPEATS, PROBE_SECONDS = 2, 0.03
WORTHWHILE = 1.3
"""bf16 must be this much faster to be worth its rounding."""
HALF = {"bfloat16", "float16"}
SHARE = 0.7
"""Of free memory, for the weights alone."""


@dataclass(frozen=True)
class Precision:
    """A number format and the reason it was chosen."""

    name: str
    reason: str

    @property
    def dtype(self) -> torch.dtype:
        """Return torch's name for it."""
        return torch.bfloat16 if self.name == "bf16" else torch.float32


def choose_precision(settings: TrainingSettings, device: torch.device, *, earlier: str | None, base: BaseModel) -> Precision:
    """Return the precision of a run; one that goes on keeps the precision it began with (`earlier`)."""
    if earlier is not None:
        return Precision(earlier, "the run began with it")
    if settings.precision != "auto":
        return Precision(settings.precision, "the spec says so")
    if device.type == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return Precision("bf16", "the GPU computes it natively")
        return Precision("fp32", "the GPU has no bf16 units")
    weights = 0 if settings.tuning == "qlora" else float32_bytes(base)
    return _of_a_cpu(_width(base.config), weights, memory_of(device).free)


def _of_a_cpu(width: int, weights: int, free: int) -> Precision:
    if weights > SHARE * free:
        return Precision("bf16", f"in float32 the weights alone are {in_bytes(weights)}, and {in_bytes(free)} of memory is free")
    if width < WIDTHS[0]:
        return Precision("fp32", "a model as small as this gains nothing by bf16")
    gain = bf16_gain(min(width, WIDTHS[1]))
    if gain >= WORTHWHILE:
        return Precision("bf16", f"this processor multiplies it {gain:.1f} times as fast as float32")
    return Precision("fp32", f"bf16 would be only {gain:.1f} times as fast on this processor")


def float32_bytes(base: BaseModel) -> int:
    """Return what a base's weights take in float32, going by the size of its files."""
    stored = str(base.config.get("dtype") or base.config.get("torch_dtype"))
    return sum(file.stat().st_size for file in base.folder.glob("*.safetensors")) * (2 if stored in HALF else 1)


def _width(config: dict[str, Any]) -> int:
    """Return how wide a model's states are, whatever its architecture calls that."""
    text = config.get("text_config") or config
    named = (text.get(name) for name in ("hidden_size", "n_embd", "d_model"))
    return next((width for width in named if isinstance(width, int)), WIDTHS[1])


@lru_cache
def bf16_gain(width: int = WIDTHS[1]) -> float:
    """Return how many times as fast bf16 products are; in turns and on one thread, so that a busy machine blurs it least."""
    kinds = torch.float32, torch.bfloat16
    operands = {kind: (torch.ones(PROBE_ROWS, width, dtype=kind), torch.ones(width, width, dtype=kind)) for kind in kinds}
    best = dict.fromkeys(operands, float("inf"))
    threads, repeats, started = torch.get_num_threads(), 0, time.perf_counter()
    torch.set_num_threads(1)
    while repeats < LEAST_REPEATS or time.perf_counter() - started < PROBE_SECONDS:
        for kind, (states, weights) in operands.items():
            began = time.perf_counter()
            torch.nn.functional.linear(states, weights)
            best[kind] = min(best[kind], time.perf_counter() - began)
        repeats += 1
    torch.set_num_threads(threads)
    return best[torch.float32] / best[torch.bfloat16]
