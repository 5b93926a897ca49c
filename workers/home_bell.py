"""A worker's bell in the studio's home: a named pipe that whoever has work for it writes into, where there is no Redis.

It only wakes the slots, which look every second besides: a home on a disk that knows no pipes, or of another machine, costs that second.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from pathlib import Path

    from workers.worker import Worker

log = structlog.get_logger()
RINGS_AT_ONCE = 4096
OLD_SECONDS = 24 * 3600.0
"""A younger pipe without a listener may be one that another machine listens to, or whose worker is just starting."""


class HomeBell:
    """One worker's pipe, for as long as its process lives."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._pipe = worker.settings.bells / f"{worker.queue}.{worker.id}"

    def start(self) -> None:
        """Begin to listen."""
        try:
            self._pipe.parent.mkdir(parents=True, exist_ok=True)
            _clear(self._pipe.parent)
            file = self._open()
        except OSError as error:
            log.info("no bell in the home; work is found a second later", error=str(error))
            return
        threading.Thread(target=self._listen, args=(file,), name="bell", daemon=True).start()

    def stop(self) -> None:
        """Take the pipe away; the next ring is for those who stay."""
        with suppress(OSError):
            self._pipe.unlink()

    def _open(self) -> int:
        # Under another name until somebody listens: a ring in between would be lost.
        new = self._pipe.with_name(f".{self._pipe.name}")
        os.mkfifo(new, 0o600)
        # For writing, too: so it never ends, whoever comes and goes.
        file = os.open(new, os.O_RDWR)
        new.rename(self._pipe)
        return file

    def _listen(self, file: int) -> None:
        while os.read(file, RINGS_AT_ONCE):
            self._worker.ring()


def _clear(bells: Path) -> None:
    """Remove the pipes of workers that were killed, and those that were just being made then."""
    for pipe in bells.iterdir():
        try:
            os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
        except OSError as error:
            with suppress(OSError):
                if error.errno == errno.ENXIO and pipe.stat().st_mtime < time.time() - OLD_SECONDS:
                    pipe.unlink()
