"""The web server: told to leave, it ends the open streams first, which would otherwise be waited for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import uvicorn

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType


class Server(uvicorn.Server):
    """uvicorn that calls `leave` before it waits for its connections to end."""

    def __init__(self, config: uvicorn.Config, leave: Callable[[], None]) -> None:
        super().__init__(config)
        self._leave = leave

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's signature
        """Leave cleanly on SIGTERM and SIGINT; uvicorn itself would raise the signal again at the end."""
        self._leave()
        self.should_exit = True
