"""How long a model that is busy or away is left alone, by all who ask it at the same time, and when it is given up."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE_SECONDS = 120.0
"""So long a model may be busy or away before it is given up."""
FIRST_WAIT_SECONDS, SHORTEST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 1.0, 0.1, 30.0
"""Where it does not say itself when it is to be asked again: twice as long each time, up to the longest."""


class Patience:
    """One model's door, shared by all threads that ask it: whoever finds it busy closes the door for the others too.

    What it is left alone for counts once, however many found it busy, and is forgotten with its next answer.
    """

    def __init__(
        self, seconds: float = PATIENCE_SECONDS, pause: Callable[[float], None] = time.sleep, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds, self._pause, self._clock = seconds, pause, clock
        self._lock = threading.Lock()
        self._opens = self._waited = 0.0
        self._next_wait = FIRST_WAIT_SECONDS
        self._why = ""

    @property
    def waits_for(self) -> str:
        """Why it is left alone just now; empty while it is not."""
        return self._why if self._clock() < self._opens else ""

    def wait(self) -> None:
        """Return once it may be asked."""
        while (left := self._opens - self._clock()) > 0:
            self._pause(left)

    def answered(self) -> None:
        """Note that it is there: whatever was waited for is over."""
        with self._lock:
            self._waited, self._next_wait = 0.0, FIRST_WAIT_SECONDS

    def leave_alone(self, why: str, seconds: float | None, *, endless: bool) -> bool:
        """Have nobody ask it for so long, or as long as is usual (None); False when there is no more patience, unless it is `endless`."""
        with self._lock:
            now = self._clock()
            is_closed = now < self._opens
            usual = self._opens - now if is_closed else self._next_wait  # who asked meanwhile finds nothing new
            wait = usual if seconds is None else max(SHORTEST_WAIT_SECONDS, seconds)
            longer = max(0.0, now + wait - max(now, self._opens))
            if not endless and self._waited + longer > self._seconds:
                return False
            if not is_closed:
                self._next_wait = min(LONGEST_WAIT_SECONDS, 2 * self._next_wait)
            self._opens, self._why = max(self._opens, now + wait), why
            self._waited += 0.0 if endless else longer
            return True
