"""What passes a run's events on to TensorBoard's files and to the trackers that were named, and brings them to an end with the run."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from app.domain.events import Finished, Metric, Started
from app.domain.tracking import Tracker, variables_of
from workers.training.trackers.files import FOLDER, TensorBoardFiles
from workers.training.trackers.outlet import Outlet
from workers.training.trackers.program import TrackerProgram, remembered

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from app.domain.events import Event
    from app.domain.tracking import Tracking

END_SECONDS = 5.0
"""How long the end of a run waits for trackers that work,"""
END_SECONDS_IF_TROUBLED = 0.5
"""for those that have said that they cannot be reached,"""
LEAVING_SECONDS = 1.5
"""and a run that was told to leave: a studio that ends gives it seven seconds for its checkpoint and this."""


class Trackers:
    """Everything that a run's numbers also go to. Nothing of it can raise, and only `close` waits, for a bounded time."""

    def __init__(self, out: Path, tracking: Tracking, tell: Callable[[str], None]) -> None:
        self._is_leaving = False
        self._outlets = [Outlet("The run's folder for TensorBoard", TensorBoardFiles(out / FOLDER), tell)]
        known = remembered(out, tracking) if tracking.trackers else tracking
        programs = [(one.words, TrackerProgram(one, known, out, tell)) for one in tracking.trackers]
        for name in variables_of(Tracker, os.environ):
            del os.environ[name]  # they have them now; what reads foreign files needs none
        self._outlets += [Outlet(words, program, tell) for words, program in programs]

    def hear(self, event: Event) -> None:
        """Pass on what trackers draw: a start, numbers and the end; texts stay here."""
        self._is_leaving = isinstance(event, Finished) and event.status == "interrupted"
        if isinstance(event, Started | Metric | Finished):
            for outlet in self._outlets:
                outlet.put(event)

    def close(self) -> None:
        """Wait until everything has been passed on, for a bounded time."""
        now = time.monotonic()
        seconds = min(END_SECONDS, LEAVING_SECONDS) if self._is_leaving else END_SECONDS
        for outlet in self._outlets:
            outlet.close()
        for outlet in self._outlets:
            outlet.join(now + seconds, until_if_troubled=now + END_SECONDS_IF_TROUBLED)
