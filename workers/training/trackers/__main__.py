"""The process of one tracker: `python -m workers.training.trackers TRACKER TRACKING FOLDER` reads events and tells what goes wrong.

    python -m workers.training.trackers wandb '{"run_id": "r1", "name": "colours"}' DIR < DIR/events.jsonl

sends the numbers of a run that is long over.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING

from pydantic import ValidationError

from app.domain.events import Notice, parse_event
from app.domain.tracking import PACKAGES, Tracker, Tracking
from workers.lifeline import die_with_parent
from workers.training.trackers.relay import Client, Relay
from workers.training.trackers.words import Unusable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.domain.events import AnyEvent

NICENESS = 10
CLIENTS = {Tracker.WANDB: "WandbClient", Tracker.MLFLOW: "MlflowClient", Tracker.TRACKIO: "TrackioClient"}


def main(tracker: Tracker, tracking: Tracking, folder: Path) -> None:
    """Relay events from standard input; notices go to standard output, and nothing of what the library prints."""
    events, notices = _aside()
    os.nice(NICENESS)
    die_with_parent()
    # They are for the trainer, which then saves a checkpoint and ends this.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)

    def tell(message: str) -> None:
        notices.write(Notice(message=message).model_dump_json().encode() + b"\n")
        notices.flush()

    try:
        client = make_client(tracker, tracking, folder)
    except Unusable as why:
        tell(f"{tracker.words} gets no numbers: {why.message} The run goes on without it.")
    else:
        Relay(tracker.words, client, tell, dataset=tracking.dataset).run(_parsed(events))
    # Not by the interpreter's own way: a library may have said that it wants to be waited for.
    os._exit(0)


def make_client(tracker: Tracker, tracking: Tracking, folder: Path) -> Client:
    """Return the client of a tracker; Unusable where its library is missing, or does not know where to send to."""
    module = importlib.import_module(f"workers.training.trackers.{tracker}")
    for name, value in module.ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        client: Client = getattr(module, CLIENTS[tracker])(tracking, folder)
    except ImportError as error:
        raise Unusable(f"its library is not installed here. Install it with: pip install {PACKAGES[tracker][0]}.") from error
    return client


def _aside() -> tuple[IO[bytes], IO[bytes]]:
    """Return standard input and output under numbers of their own, and leave nothing in their place: libraries print, and ask."""
    streams = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    return streams


def _parsed(lines: IO[bytes]) -> Iterator[AnyEvent]:
    for line in lines:
        try:
            yield parse_event(line)
        except ValidationError:
            continue  # a line that was cut off


if __name__ == "__main__":
    main(Tracker(sys.argv[1]), Tracking.model_validate_json(sys.argv[2]), Path(sys.argv[3]))
