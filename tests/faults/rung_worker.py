"""A worker as `hone worker` starts it, rung by Celery, but for its trainer, which only counts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import workers.supervisor
import workers.training_work
from app.db import Run
from tests.faults.harness.zygote import ScriptedChild
from workers.claim import claim_and_run
from workers.kinds import Kind
from workers.worker import Worker

POLL_SECONDS = "HONE_FAULTS_POLL_SECONDS"
"""How often it looks by itself; a test of the bell alone has it never do so."""
LOOKS = "looks.txt"
"""In the home: what each look for runs has found, a line each."""
FOUND, NOTHING = "found", "nothing"


def look(worker: Worker, kinds: Sequence[Kind]) -> bool:
    """Look for work as any worker does, and note what came of it once it is done."""
    found = claim_and_run(worker, kinds)
    if any(kind.table is Run for kind in kinds):
        with (worker.settings.home / LOOKS).open("a", encoding="utf-8") as looks:
            looks.write(f"{FOUND if found else NOTHING}\n")
    return found


def looks(home: Path) -> list[str]:
    """Return what the looks for runs have found, in order."""
    kept = home / LOOKS
    return kept.read_text(encoding="utf-8").split() if kept.exists() else []


def main() -> None:
    """Work until told to leave."""
    workers.training_work.Child = ScriptedChild  # type: ignore[attr-defined, assignment]
    workers.supervisor.claim_and_run = look  # type: ignore[assignment, attr-defined]
    if POLL_SECONDS in os.environ:
        workers.supervisor.POLL_SECONDS = workers.supervisor.RUNG_POLL_SECONDS = float(os.environ[POLL_SECONDS])
    workers.supervisor.main()


if __name__ == "__main__":
    main()
