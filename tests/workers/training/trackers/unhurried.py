"""A tracker's process as the trainer starts it, but patient and as quick as the tests beside it: it may get its turn late.

By itself it takes whatever time others leave it (NICENESS), and would tell of a server that only this machine has kept from answering.
"""

from __future__ import annotations

import sys
from pathlib import Path

from app.domain.tracking import Tracker, Tracking
from tests.waiting import PATIENCE_SECONDS
from workers.training.trackers import __main__ as program
from workers.training.trackers import reach, relay, wandb


def main(tracker: str, tracking: str, folder: str) -> None:
    """Relay events from standard input, and give up nothing for its time."""
    program.NICENESS = 0
    reach.ANSWER_SECONDS = relay.PATIENCE_SECONDS = wandb.OPEN_SECONDS = PATIENCE_SECONDS
    program.main(Tracker(tracker), Tracking.model_validate_json(tracking), Path(folder))


if __name__ == "__main__":
    main(*sys.argv[1:])
