"""Notices when a child says nothing any more: it hangs, or waits for something that does not come."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from app.domain.events import Doing, Metric, Notice, Started

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.domain.events import AnyEvent

GIVE_UP_AFTER = 3
"""A child that is silent for so many times the time after which it counts as stalled is ended."""


class Watchdog:
    """Measures a child's silence by this process's own clock, and knows what the child was about."""

    def __init__(self, stall_minutes: float) -> None:
        self._stall_seconds = stall_minutes * 60
        self._heard = time.monotonic()
        self._last = "it was started"
        self.phase = "starting"

    def hear(self, events: Sequence[AnyEvent]) -> None:
        """Take whatever the child says as a sign that it goes on."""
        for event in events:
            self._heard = time.monotonic()
            self._last = _in_words(event) or self._last
            if isinstance(event, Doing):
                self.phase = event.what
            elif isinstance(event, Started | Metric):
                self.phase = "training"

    @property
    def silent_seconds(self) -> float:
        """Return for how long nothing was heard."""
        return time.monotonic() - self._heard

    @property
    def is_stalled(self) -> bool:
        """Return whether that is so long that people should know."""
        return self.silent_seconds > self._stall_seconds

    @property
    def is_hopeless(self) -> bool:
        """Return whether that is so long that the child is better ended."""
        return self.silent_seconds > GIVE_UP_AFTER * self._stall_seconds

    def in_words(self) -> str:
        """Return what is known of the silence."""
        return f"no step for {max(1, round(self.silent_seconds / 60))} min, last: {self._last}"


def _in_words(event: AnyEvent) -> str:
    if isinstance(event, Doing):
        return event.what
    if isinstance(event, Metric):
        return f"step {event.step}"
    if isinstance(event, Started | Notice):
        return event.message.rstrip(".")
    return ""
