"""What both sides of a comparison share: where their adapters begin, and how their steps are timed."""

from __future__ import annotations

import time
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psutil
import torch

if TYPE_CHECKING:
    from collections.abc import Iterable


def draw_adapters(weights: Iterable[tuple[str, torch.nn.Parameter]]) -> None:
    """Draw every A matrix from its own name, as wide as peft would: then losses and gradients of two sides can be compared."""
    with torch.no_grad():
        for name, weight in weights:
            if "lora_A" in name:
                generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
                bound = weight.shape[1] ** -0.5
                weight.copy_(torch.empty(weight.shape).uniform_(-bound, bound, generator=generator))


@dataclass
class Clock:
    """Times the steps after the first, which pays for warm-up: wall time and the CPU's seconds at each step's end."""

    ends: list[tuple[float, float]] = field(default_factory=list)

    def begin(self) -> None:
        """Forget what was noted, and time from now on."""
        self.ends.clear()
        self.tick()

    def tick(self) -> None:
        """Note the end of a step, when the device has finished it."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        own = psutil.Process()
        used = [process.cpu_times() for process in (own, *own.children())]
        self.ends.append((time.perf_counter(), sum(each.user + each.system for each in used)))

    def figures(self, rows: int) -> dict[str, Any]:
        """Return what the steps after the first took, and their `rows` a second."""
        wall, cpu = (last - first for first, last in zip(self.ends[0], self.ends[-1], strict=True))
        return {
            "steps_timed": len(self.ends) - 1,
            "seconds": round(wall, 3),
            "cpu_seconds": round(cpu, 3),
            "rows_per_second": round(rows / wall, 4),
            "peak_gpu_bytes": torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None,
        }
