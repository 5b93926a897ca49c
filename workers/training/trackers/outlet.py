"""One place that numbers go to, behind a queue and a thread of its own: whatever happens there, the training neither waits nor fails."""

from __future__ import annotations

import queue
import threading
import time
from typing import TYPE_CHECKING, Protocol

from app.domain.events import Metric

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.domain.events import Event

MOST_WAITING = 20_000
"""So many events wait for a place that takes none, some megabytes; what comes then is lost to it, and counted."""
GATHER_SECONDS = 0.25
"""For so long what comes is gathered, so that the thread seldom interrupts the training."""

KILLED_SECONDS = 1.0
"""How long a place that was let go of may take to notice it."""


class Place(Protocol):
    """Where events go; the thread alone calls it, but for `abandon`."""

    troubled: bool
    """Whether it has said that it cannot be reached: then nobody waits for it at the end."""

    def begin(self) -> None:
        """Get ready."""

    def take(self, events: Sequence[Event]) -> None:
        """Take some events, in order; OSError when it can take no more."""

    def end(self) -> None:
        """Bring it to an end, once it has everything."""

    def abandon(self) -> None:
        """Let go of it, from another thread, whatever it is doing."""


class Outlet:
    """Feeds one place; `tell` says to people what has gone wrong, once."""

    def __init__(self, words: str, place: Place, tell: Callable[[str], None]) -> None:
        self.words = words
        self._place, self._tell = place, tell
        self._waiting: queue.Queue[Event] = queue.Queue(MOST_WAITING)
        self._ending = threading.Event()
        self._is_over = False
        self._in_hand: list[Event] = []
        self._lost = 0
        self._thread = threading.Thread(target=self._feed, name=f"tracker {words}", daemon=True)
        self._thread.start()

    def put(self, event: Event) -> None:
        """Take an event to be passed on; never waits."""
        if self._is_over:
            return
        try:
            self._waiting.put_nowait(event)
        except queue.Full:
            self._lost += isinstance(event, Metric)

    def close(self) -> None:
        """Have what waits passed on, and the place ended; `join` waits for it."""
        self._ending.set()

    def join(self, until: float, *, until_if_troubled: float) -> None:
        """Wait for the end until a moment of time.monotonic(), and then let go of it; earlier, where it cannot be reached anyway."""
        while self._thread.is_alive() and time.monotonic() < (until_if_troubled if self._place.troubled else until):
            self._thread.join(0.05)
        if self._thread.is_alive():
            left, self._is_over = self._lost + self._count_waiting(), True
            self._place.abandon()
            self._thread.join(KILLED_SECONDS)
            how_many = f"{left:,} numbers" if left else "the last numbers"
            self._tell(f"{self.words} did not take {how_many} in time. They are all here, in the run's own record.")
        elif self._lost:
            self._tell(f"{self.words} was too slow for {self._lost:,} numbers. They are all here, in the run's own record.")

    def _count_waiting(self) -> int:
        """Count the numbers that never went in, and those the place was given and has not come back with."""
        return sum(isinstance(event, Metric) for event in [*self._in_hand, *self._gathered()])

    def _feed(self) -> None:
        try:
            self._place.begin()
            while not (self._ending.wait(GATHER_SECONDS) and self._waiting.empty()):
                self._in_hand = self._gathered()
                if self._in_hand:
                    self._place.take(self._in_hand)
                self._in_hand = []
            self._place.end()
        except OSError as error:
            if not self._is_over:
                self._is_over = True
                self._tell(f"{self.words} takes no more numbers: {error.strerror or error}. The run goes on without it.")

    def _gathered(self) -> list[Event]:
        events: list[Event] = []
        while True:
            try:
                events.append(self._waiting.get_nowait())
            except queue.Empty:
                return events
