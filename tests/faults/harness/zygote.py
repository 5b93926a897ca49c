"""Forks workers that are real but for their trainer: what they import is imported once, so that one is back a moment after a kill.

Reads an order a line (JSON) on standard input and answers with the process number. Its workers end with it, and it with the test.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

from sqlalchemy.orm import configure_mappers

import app.domain.runs
import workers.training_work
import workers.worker
from app.config import Settings
from tests.faults.harness.guards import remove
from workers.child import Child
from workers.lifeline import die_with_parent
from workers.supervisor import poll
from workers.sweep import sweep
from workers.worker import make_worker

POLL_SECONDS = 0.1
GRACE_SECONDS = 5.0


class ScriptedChild(Child):
    """The child of a run, with the trainer that only counts for its program."""

    def __init__(self, arguments: list[str], **how: Any) -> None:
        super().__init__(["tests.faults.harness.trainer", *arguments[1:]], **how)


def work(order: dict[str, Any]) -> None:
    """Be a worker until told to leave."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    die_with_parent()
    # Chaos kills a run more often than its crash budget allows, which has tests of its own.
    app.domain.runs.MAX_CRASHES_WITHOUT_PROGRESS = 10**6
    vars(workers.training_work)["Child"] = ScriptedChild
    # Of a neighbour on its own machine a worker sees at once that it is dead; of one on another only that its lease runs out.
    vars(workers.worker)["process_space"] = lambda: order["machine"]
    settings = Settings(home=Path(order["home"]), database_url=order["database"], lease_seconds=order["lease_seconds"])
    worker = make_worker(settings, "gpu", slots=1, grace_seconds=GRACE_SECONDS)
    worker.id, worker.host = order["id"], order["machine"]
    remove(order["without"])
    signal.signal(signal.SIGTERM, lambda *_: worker.leaving.set())
    worker.register(sweep)
    for thread in poll(worker, every=POLL_SECONDS):
        thread.join()
    worker.leave()


def main() -> None:
    """Fork a worker for each order."""
    die_with_parent()
    configure_mappers()  # once here, and not in each worker
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the dead need not be waited for
    for line in sys.stdin:
        if pid := os.fork():
            print(pid, flush=True)
            continue
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(2, 1)
        try:
            work(json.loads(line))
        except BaseException:  # noqa: BLE001 - whatever it was, nothing of the zygote may go on in here
            traceback.print_exc()
        os._exit(0)


if __name__ == "__main__":
    main()
