"""Which number format the products are computed in, and why: measured on a CPU, asked of a GPU."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from app.domain.specs import TrainingSettings

PROBE_SIZE = 512
PROBE_REPEATS = 6
WORTHWHILE = 1.3
"""bf16 must be this much faster to be worth its rounding."""


@dataclass(frozen=True)
class Precision:
    """A number format and the reason it was chosen."""

    name: str
    reason: str

    @property
    def dtype(self) -> torch.dtype:
        """Return torch's name for it."""
        return torch.bfloat16 if self.name == "bf16" else torch.float32


def choose_precision(settings: TrainingSettings, device: torch.device, *, earlier: str | None) -> Precision:
    """Return the precision of a run; one that goes on keeps the precision it began with (`earlier`)."""
    if earlier is not None:
        return Precision(earlier, "the run began with it")
    if settings.precision != "auto":
        return Precision(settings.precision, "the spec says so")
    if device.type == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return Precision("bf16", "the GPU computes it natively")
        return Precision("fp32", "the GPU has no bf16 units")
    gain = _gain()
    if gain >= WORTHWHILE:
        return Precision("bf16", f"this processor multiplies it {gain:.1f} times as fast as float32")
    return Precision("fp32", f"bf16 would be only {gain:.1f} times as fast on this processor")


def _gain() -> float:
    """Return how many times as fast bf16 products are; in turns and on one thread, so that a busy machine blurs it least."""
    operands = {kind: torch.ones(PROBE_SIZE, PROBE_SIZE, dtype=kind) for kind in (torch.float32, torch.bfloat16)}
    best = dict.fromkeys(operands, float("inf"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for _ in range(PROBE_REPEATS):
        for kind, operand in operands.items():
            began = time.perf_counter()
            torch.nn.functional.linear(operand, operand)
            best[kind] = min(best[kind], time.perf_counter() - began)
    torch.set_num_threads(threads)
    return best[torch.float32] / best[torch.bfloat16]
