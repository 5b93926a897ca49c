"""What others want of this process: commands on standard input, SIGTERM, and a parent that may be gone."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Literal

from pydantic import ValidationError

from app.domain.events import Command

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import FrameType

Wish = Literal["pause", "stop", "cancel"]
STRENGTH: dict[Wish, int] = {"pause": 1, "stop": 2, "cancel": 3}


class Leave(Exception):
    """Raised at the next safe point after somebody asked this process to leave."""

    def __init__(self, wish: Wish) -> None:
        super().__init__(wish)
        self.wish = wish


class Control:
    """Remembers the strongest wish; the training loop asks at its safe points."""

    def __init__(self) -> None:
        self.wish: Wish | None = None
        self.by_keyboard = False

    def ask(self, wish: Wish) -> None:
        """Record a wish; a weaker one never replaces a stronger one."""
        if self.wish is None or STRENGTH[wish] > STRENGTH[self.wish]:
            self.wish = wish

    def check(self) -> None:
        """Raise Leave if somebody wants this process to leave."""
        if self.wish is not None:
            raise Leave(self.wish)

    def pause_on(self, number: signal.Signals) -> None:
        """Take a signal as a wish to pause; a second one changes nothing."""

        def note(number: int, _frame: FrameType | None) -> None:
            self.by_keyboard |= number == signal.SIGINT
            self.ask("pause")

        signal.signal(number, note)

    def listen(self, lines: Iterable[str]) -> None:
        """Follow commands in a thread of their own; end-of-file means that the supervisor is gone."""
        threading.Thread(target=self._follow, args=(lines,), name="commands", daemon=True).start()

    def _follow(self, lines: Iterable[str]) -> None:
        for line in lines:
            try:
                self.ask(Command.model_validate_json(line).command)
            except ValidationError:
                print(f"Not a command: {line[:200]!r}", file=sys.stderr, flush=True)
        os._exit(1)
