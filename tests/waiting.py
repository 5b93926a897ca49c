"""Waiting for what comes by itself: a test asks again for a generous time, and never guesses when a thread gets its turn."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE_SECONDS = 250.0
"""Less than pytest gives a test, so that it is this wait that fails, with what it last saw."""
Answer = TypeVar("Answer")


def until(ask: Callable[[], Answer | None], seconds: float = PATIENCE_SECONDS) -> Answer:
    """Ask until the answer counts as true and return it; AssertionError with the last one when the time is up."""
    deadline = time.monotonic() + seconds
    while not (answer := ask()):
        assert time.monotonic() < deadline, f"It did not come within {seconds:g} s: {answer!r}"
        time.sleep(0.05)
    return answer
