"""What the demo shows in a terminal: stages, one moving line, a table. Where nobody watches it move, plain lines."""

from __future__ import annotations

import shutil
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

BAR = 24
QUIET_SECONDS = 10.0
"""In a file or a pipe progress is told this often."""
CLEAR = "\r\x1b[K"


class Progress:
    """One line that moves; talk goes to stderr, what scripts read to stdout."""

    def __init__(self, name: str) -> None:
        self.name, self.is_live = name, sys.stderr.isatty()
        self._told = time.monotonic()

    def show(self, done: float, words: str) -> None:
        """Show how much of it is done, from 0 to 1."""
        filled = round(min(1.0, done) * BAR)
        line = f"  {self.name:<9} {'━' * filled}{'╌' * (BAR - filled)} {done:4.0%}  {words}"
        if self.is_live:
            sys.stderr.write(CLEAR + shorten(line, width() - 1))
        elif time.monotonic() - self._told >= QUIET_SECONDS:
            self._told = time.monotonic()
            sys.stderr.write(f"  {self.name:<9} {done:4.0%}  {words}\n")
        sys.stderr.flush()

    def end(self, words: str) -> None:
        """Leave the line with its result."""
        sys.stderr.write(f"{CLEAR if self.is_live else ''}  {self.name:<9} {words}\n")
        sys.stderr.flush()


def say(words: str) -> None:
    """Talk to whoever watches."""
    print(words, file=sys.stderr, flush=True)


def width() -> int:
    """Return how many characters fit in a line."""
    return shutil.get_terminal_size((110, 40)).columns


def shorten(text: str, most: int) -> str:
    """Return a text in one line, cut at so many characters."""
    text = " ".join(text.split()) if "\n" in text else text
    return text if len(text) <= most else text[: max(1, most - 1)] + "…"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table that fits the terminal: the first column gives way."""
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    widths[0] = max(16, min(widths[0], width() - 2 - sum(widths[1:]) - 2 * len(head)))
    drawn = ["  " + "  ".join(f"{shorten(cell, size):<{size}}" for cell, size in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([drawn[0], "  " + "  ".join("─" * size for size in widths), *drawn[1:]])
