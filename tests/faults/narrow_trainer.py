"""The real trainer on a machine with little memory: in all, or for the rows of one pass.

Once it has its libraries it may take a little more than it has then, and no more; or passes with more rows than HONE_TRAINER_MOST_ROWS
find no memory.
"""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import peft
import torch
import transformers

from workers.train import main
from workers.training.loss import TrainedTokenLoss

if TYPE_CHECKING:
    from workers.training.batches import Batch

LIBRARIES = (torch, transformers, peft)
"""Loaded before the limit holds, as they would be on any machine."""
MOST_ROWS = "HONE_TRAINER_MOST_ROWS"
LEFT_BYTES = 200 * 2**20


def narrow() -> None:
    """Let this process have no more than a little memory beyond what it has."""
    used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[5]) * resource.getpagesize()
    # Not the addresses: every thread reserves many of them that it never fills.
    resource.setrlimit(resource.RLIMIT_DATA, (used + LEFT_BYTES,) * 2)


def narrow_passes(most_rows: int) -> None:
    """Let passes that learn find no memory for more rows."""
    true_sum = TrainedTokenLoss.summed

    def summed(self: TrainedTokenLoss, batch: Batch) -> torch.Tensor:
        if len(batch.rows) > most_rows:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory")
        return true_sum(self, batch)

    TrainedTokenLoss.summed = summed  # type: ignore[method-assign]  # that is what this program is for


if __name__ == "__main__":
    if MOST_ROWS in os.environ:
        narrow_passes(int(os.environ[MOST_ROWS]))
    else:
        narrow()
    sys.exit(main(sys.argv[1:]))
