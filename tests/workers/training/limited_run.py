"""A process that trains with so many bytes of addresses beyond what the loaded base takes: SPEC OUT BYTES planned|unplanned."""

from __future__ import annotations

import resource
import sys
from unittest.mock import patch

import psutil

from workers import train
from workers.training import probe, run
from workers.training.budget import Budget
from workers.training.loop import StepLoop


def main(spec: str, out: str, beyond: int, way: str) -> int:
    """Train under the limit, and take it away before anything else is done."""
    true_run, true_give_up = StepLoop.run, Budget._give_up

    def limited(loop: StepLoop) -> probe.Fit:
        resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + beyond, resource.RLIM_INFINITY))
        return probe.make_fit(loop)

    def freed(loop: StepLoop) -> None:
        try:
            true_run(loop)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    def give_up(budget: Budget, *wanted: int) -> bool:
        return way == "planned" and true_give_up(budget, *wanted)

    with patch.object(run, "make_fit", limited), patch.object(StepLoop, "run", freed), patch.object(Budget, "_give_up", give_up):
        return train.main([spec, "--out", out])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]))
