"""A line now and then for people who watch a terminal."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workers.training.loop import StepResult

EVERY_SECONDS = 2.0


class ProgressLine:
    """Prints step, loss and the time that is left, every two seconds and at the end."""

    def __init__(self, *, wanted: bool) -> None:
        self._wanted = wanted
        self._first: tuple[int, float] | None = None
        self._printed_at = float("-inf")

    def say(self, text: str) -> None:
        """Print a line at once."""
        if self._wanted:
            print(text, file=sys.stderr, flush=True)

    def step(self, step: int, total_steps: int, result: StepResult) -> None:
        """Print where the run stands, unless that was done a moment ago."""
        now = time.monotonic()
        if self._first is None:
            self._first = (step, now)
        if now - self._printed_at < EVERY_SECONDS and step != total_steps:
            return
        self._printed_at = now
        left = _left(self._first, (step, now), total_steps)
        loss = f"loss {result.loss:.4f}" if result.is_trained else "nothing to learn from"
        self.say(f"step {step}/{total_steps}  {loss}  {result.tokens_per_second:,.0f} tokens/s{left}")


def _left(first: tuple[int, float], present: tuple[int, float], total_steps: int) -> str:
    steps = present[0] - first[0]
    if steps == 0 or present[0] == total_steps:
        return ""
    seconds = (present[1] - first[1]) / steps * (total_steps - present[0])
    return f"  about {seconds / 60:.0f} min left" if seconds >= 90 else f"  about {seconds:.0f} s left"  # noqa: PLR2004 - a minute and a half
