"""A worker as `hone worker` starts it, rung by Celery, but for its trainer, which only counts."""

from __future__ import annotations

import os

import workers.supervisor
import workers.training_work
from tests.faults.harness.zygote import ScriptedChild

POLL_SECONDS = "HONE_FAULTS_POLL_SECONDS"
"""How often it looks by itself; a test of the bell alone has it never do so."""


def main() -> None:
    """Work until told to leave."""
    workers.training_work.Child = ScriptedChild  # type: ignore[attr-defined, assignment]
    if POLL_SECONDS in os.environ:
        workers.supervisor.POLL_SECONDS = workers.supervisor.RUNG_POLL_SECONDS = float(os.environ[POLL_SECONDS])
    workers.supervisor.main()


if __name__ == "__main__":
    main()
