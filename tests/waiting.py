"""Waiting for what comes by itself: a test asks again for a generous time, and never guesses when a thread gets its turn."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

PATIENCE_SECONDS = 250.0
"""Less than half of what pytest gives a test, so that it is a wait that fails, with what it last saw."""
Answer = TypeVar("Answer")


def until(ask: Callable[[], Answer | None], seconds: float = PATIENCE_SECONDS) -> Answer:
    """Ask until the answer counts as true and return it; AssertionError with the last one when the time is up."""
    deadline = time.monotonic() + seconds
    while not (answer := ask()):
        assert time.monotonic() < deadline, f"It did not come within {seconds:g} s: {answer!r}"
        time.sleep(0.05)
    return answer


def files_under(*folders: Path) -> dict[Path, int]:
    """Return the files that lie there with their sizes; unlike rglob it passes over what goes meanwhile."""
    found: dict[Path, int] = {}
    for path in (Path(folder, name) for top in folders for folder, _, names in os.walk(top) for name in names):
        with suppress(FileNotFoundError):
            found[path] = path.stat().st_size
    return found
