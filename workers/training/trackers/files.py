"""TensorBoard's files of a run, written in any case: no account and no network is needed for them."""

from __future__ import annotations

import time
from itertools import groupby
from typing import IO, TYPE_CHECKING

from app.domain import tensorboard
from app.domain.events import Finished, Metric, Started
from app.domain.tracking import configuration_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from app.domain.events import Event

FOLDER = "tensorboard"


class TensorBoardFiles:
    """Writes one file for each attempt; a later attempt's takes the place of the steps that it repeats."""

    troubled = False

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: IO[bytes] | None = None

    def begin(self) -> None:
        """Nothing: there is a file only once the training begins."""

    def take(self, events: Sequence[Event]) -> None:
        """Write what TensorBoard draws, whole records at a time."""
        now = time.time()
        records = b"".join(self._record(now, list(group)) for _, group in groupby(events, _row))
        if self._file is not None and records:
            self._file.write(records)

    def end(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def abandon(self) -> None:
        """Nothing: a disk that hangs lets go of the thread when it likes."""

    def _record(self, now: float, events: Sequence[Event]) -> bytes:
        first = events[0]
        if isinstance(first, Metric):
            return tensorboard.scalars(now, first.step, [(e.name, e.value) for e in events if isinstance(e, Metric)])
        if isinstance(first, Started):
            self._open()
            return tensorboard.head(now, first_step=first.step and first.step + 1) + tensorboard.settings(now, configuration_of(first))
        return tensorboard.ending(now, first.status) if isinstance(first, Finished) else b""

    def _open(self) -> None:
        if self._file is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            # Unbuffered: what was told stands there when the process is killed.
            self._file = (self._folder / tensorboard.file_name(time.time_ns())).open("xb", buffering=0)


def _row(event: Event) -> tuple[str, int]:
    return type(event).__name__, event.step if isinstance(event, Metric) else 0
