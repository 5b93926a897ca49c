"""Events out: one JSON object a line, to a pipe or to events.jsonl, whole lines even from several threads."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any, Self, TextIO

from app.domain.events import Checkpoint, Event, Finished, Metric, Notice, Started

if TYPE_CHECKING:
    from pathlib import Path


class Reporter:
    """Writes events and flushes each, so that nothing is lost when the process dies."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    @classmethod
    def to_pipe(cls, descriptor: int) -> Reporter:
        """Report to an inherited file descriptor."""
        return cls(os.fdopen(descriptor, "w", encoding="utf-8"))

    @classmethod
    def to_file(cls, path: Path) -> Reporter:
        """Report to a file that earlier attempts may have begun; a line cut off by a kill is dropped first."""
        if path.exists():
            with path.open("rb+") as file:
                whole = file.read().rfind(b"\n") + 1
                file.truncate(whole)
        return cls(path.open("a", encoding="utf-8"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def emit(self, event: Event) -> None:
        """Write one event. A reader that is gone means that nobody wants this work any more: leave at once."""
        line = event.model_dump_json() + "\n"
        try:
            with self._lock:
                self._stream.write(line)
                self._stream.flush()
        except BrokenPipeError:
            os._exit(1)

    def started(self, message: str, *, step: int, total_steps: int, data: dict[str, Any]) -> None:
        """Say that training begins, and what was chosen."""
        self.emit(Started(message=message, step=step, total_steps=total_steps, data=data))

    def metric(self, step: int, name: str, value: float) -> None:
        """Report a number at a step."""
        self.emit(Metric(step=step, name=name, value=value))

    def checkpoint(self, step: int, path: str) -> None:
        """Say that a whole checkpoint lies at `path`."""
        self.emit(Checkpoint(step=step, path=path))

    def notice(self, message: str, **data: Any) -> None:
        """Tell something a person should know."""
        self.emit(Notice(message=message, data=data))

    def finished(self, event: Finished) -> None:
        """Write the last line."""
        self.emit(event)
