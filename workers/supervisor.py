"""A worker process: `python -m workers.supervisor --queue gpu|cpu`. Polls the database; with a broker it listens to that too."""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
from typing import TYPE_CHECKING

import structlog

from app.config import Settings
from app.db.session import UNREACHABLE
from app.gateways.gpus import VISIBLE, Gpu, gpus_named, visible_gpus
from app.gateways.lifeline import follow_parent, when_told_to_leave
from app.gateways.logs import configure_logging
from app.gateways.starting import CannotStart, check_tables, starting
from workers.claim import claim_and_run
from workers.home_bell import HomeBell
from workers.kinds import kinds_of
from workers.leftovers import clear_leftovers
from workers.lending import take_back
from workers.run_checkpoints import count_uncounted
from workers.run_log import take_untaken
from workers.sweep import sweep
from workers.warm_trainers import WarmTrainers
from workers.worker import Worker, make_worker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workers.kinds import Kind

log = structlog.get_logger()
POLL_SECONDS, RUNG_POLL_SECONDS = 1.0, 15.0
FAMILY_GRACE_SECONDS, ALONE_GRACE_SECONDS = 7.0, 120.0
"""How long a trainer may take to save when the worker is told to leave: under `hone up` everything ends within ten seconds."""


def main() -> None:
    """Work until told to leave."""
    wanted = _arguments()
    os.umask(0o077)
    settings = Settings()
    configure_logging(f"{wanted.queue}-worker", settings.log_format)
    try:
        worker = _started(settings, wanted)
    except CannotStart as error:
        sys.exit(f"hone: {error}")
    when_told_to_leave(worker.tell_to_leave)
    if worker.queue == "gpu" and settings.warm_trainers:
        worker.warm = WarmTrainers()
        worker.warm.start()
    threads = poll(worker)
    bell = _listen(worker, wanted)
    _say_ready(worker, as_json=wanted.json)
    for thread in threads:
        thread.join()
    if worker.warm:
        worker.warm.close()
    if bell:
        bell.stop()
    worker.leave()


def _listen(worker: Worker, wanted: argparse.Namespace) -> HomeBell | None:
    """Hear of work as soon as it is there: by Redis, where there is one, else by a pipe in the home, which is returned."""
    if not worker.settings.redis_url:
        bell = HomeBell(worker)
        bell.start()
        return bell
    if wanted.alone or wanted.sibling:
        from workers.bell import Listener

        Listener(worker).start()
    return None


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queue", choices=["gpu", "cpu"], required=True)
    parser.add_argument("--slots", type=int, default=1)
    parser.add_argument("--device", help="the one GPU to work on: its number or UUID; default: the first")
    parser.add_argument("--alone", action="store_true", help="not a child of `hone up`")
    parser.add_argument("--sibling", action="store_true", help="one of several that `hone worker` started: it ends with its parent")
    parser.add_argument("--json", action="store_true", help="print one line when ready")
    return parser.parse_args()


def _started(settings: Settings, wanted: argparse.Namespace) -> Worker:
    """Return a worker that is on the list, or raise CannotStart."""
    grace = ALONE_GRACE_SECONDS if wanted.alone or wanted.sibling else FAMILY_GRACE_SECONDS
    with starting():
        worker = make_worker(settings, wanted.queue, slots=wanted.slots, grace_seconds=grace, gpu=_gpu(wanted))
        if not wanted.alone:
            follow_parent()
        check_tables(worker.engine)
        worker.register(sweep)
        clear_leftovers(worker)
        count_uncounted(worker)
        take_untaken(worker)
    # Whoever died here with the GPU lent to it will not give it back.
    take_back(worker)
    return worker


def _gpu(wanted: argparse.Namespace) -> Gpu | None:
    """Return the one GPU of this worker, and hide all others from it and its children; None where it works on the processor."""
    if wanted.queue != "gpu":
        return None
    found = gpus_named(wanted.device) if wanted.device else visible_gpus()
    if not found:
        return None
    os.environ[VISIBLE] = found[0].uuid
    return found[0]


def _say_ready(worker: Worker, *, as_json: bool) -> None:
    log.info("ready", device=worker.device, worker=worker.id)
    if as_json:
        print(json.dumps({"ready": worker.id, "queue": worker.queue, "device": worker.device}), flush=True)


def poll(worker: Worker, *, every: float | None = None) -> list[threading.Thread]:
    """Look for work in as many threads as the worker has slots, and one more for each kind that mostly waits for others.

    `every` so many seconds, unless the bell decides.
    """
    found = kinds_of(worker.queue)
    lanes = [[kind for kind in found if not kind.table.waits]] * worker.slots + [[kind] for kind in found if kind.table.waits]
    worker.wakes = [threading.Event() for _ in lanes]
    waking = zip(lanes, worker.wakes, strict=True)
    threads = [threading.Thread(target=_poll, args=(worker, *each, every), name=f"slot {n}") for n, each in enumerate(waking)]
    for thread in threads:
        thread.start()
    return threads


def _poll(worker: Worker, kinds: Sequence[Kind], wake: threading.Event, every: float | None) -> None:
    while not worker.leaving.is_set():
        # Before it looks: a ring while it looks makes it look again.
        wake.clear()
        try:
            found = claim_and_run(worker, kinds)
        except UNREACHABLE as error:
            log.warning("the database does not answer; trying again", error=str(error))
            found = False
        except Exception:
            # The outer edge of a slot: whatever it was, the lease runs out and the work is taken up again.
            log.exception("a slot failed")
            found = False
        if not found and not worker.leaving.is_set():
            wake.wait(every or (RUNG_POLL_SECONDS if worker.is_rung else POLL_SECONDS))


if __name__ == "__main__":
    main()
