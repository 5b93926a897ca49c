"""A tracker's library in a process of its own, `python -m workers.training.trackers`: events go in, and what it has to say comes out.

In the trainer's own process its import would compete with the first steps, its threads with all others, a request that hangs with the
end, and what it prints with the log. This process also is the only one that keeps the tracker's key.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, TYPE_CHECKING

from pydantic import ValidationError

from app.domain.base_models import HUB_KEYS
from app.domain.events import Notice, parse_event
from app.domain.ids import new_id
from app.domain.tracking import Tracker, Tracking, variables_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.domain.events import Event

PROGRAM = "workers.training.trackers"
REMEMBERED = "tracking.json"
PROJECT_ROOT = Path(__file__).resolve().parents[3]


class TrackerProgram:
    """Starts the process of one tracker, feeds it, and relays its notices."""

    def __init__(self, tracker: Tracker, tracking: Tracking, out: Path, tell: Callable[[str], None]) -> None:
        self.troubled = False
        self._command = [sys.executable, "-m", PROGRAM, tracker, tracking.model_dump_json(), str(out.resolve())]
        # As it is now: later the trainer goes offline, and forgets the keys.
        others = {name for other in Tracker if other != tracker for name in variables_of([other], os.environ)}
        if tracker is not Tracker.TRACKIO:  # the only one that may lie on the Hub
            others.update(HUB_KEYS)
        self._environment = {name: value for name, value in os.environ.items() if name not in others} | {"PYTHONPATH": str(PROJECT_ROOT)}
        self._words, self._tell = tracker.words, tell
        self._process: subprocess.Popen[bytes] | None = None
        self._notices: threading.Thread | None = None
        self._is_abandoned = False

    def begin(self) -> None:
        """Start it at once: it imports its library while the base is loaded."""
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=self._environment)
        self._notices = threading.Thread(target=self._relay, args=(self._process.stdout,), name=f"notices of {self._words}", daemon=True)
        self._notices.start()

    def take(self, events: Sequence[Event]) -> None:
        """Write events to it; what it does not read is waited for."""
        if self._process and self._process.stdin:
            lines = b"".join(event.model_dump_json().encode() + b"\n" for event in events)
            try:
                self._process.stdin.write(lines)
                self._process.stdin.flush()
            except BrokenPipeError:
                self._let_it_have_ended()

    def end(self) -> None:
        """Tell it that nothing more will come, and wait until it has ended."""
        if self._process and self._process.stdin:
            try:
                self._process.stdin.close()
            except BrokenPipeError:
                self._let_it_have_ended()
            self._process.wait()
        if self._notices:
            self._notices.join()

    def abandon(self) -> None:
        """Kill it; what it had not sent is lost there."""
        self._is_abandoned = True
        if self._process:
            self._process.kill()

    def _let_it_have_ended(self) -> None:
        """Raise OSError if it has ended without saying why; else leave it at that."""
        if self._notices:
            self._notices.join()
        if not (self.troubled or self._is_abandoned):
            raise BrokenPipeError(None, "its program has ended by itself")

    def _relay(self, lines: IO[bytes]) -> None:
        with lines:
            for line in lines:
                event = parse_event(line)
                if isinstance(event, Notice):
                    self.troubled = True
                    self._tell(event.message)


def remembered(out: Path, tracking: Tracking) -> Tracking:
    """Return the tracking with an id for the run: a studio gives one, and without a studio its folder remembers it for the next attempt."""
    if tracking.run_id:
        return tracking
    file = out / REMEMBERED
    try:
        return tracking.model_copy(update={"run_id": Tracking.model_validate_json(file.read_bytes()).run_id})
    except (OSError, ValidationError):
        known = tracking.model_copy(update={"run_id": new_id()})
    try:
        out.mkdir(parents=True, exist_ok=True)
        file.write_text(known.model_dump_json(include={"run_id"}), encoding="utf-8")
    except OSError:
        pass  # the next attempt will be another run there: no reason for this one to fail
    return known
