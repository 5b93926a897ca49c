"""Events out: one JSON object a line, to a pipe or to events.jsonl, whole lines even from several threads."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any, Protocol, Self

from app.domain.events import Checkpoint, Doing, Event, Finished, Metric, Notice, Started
from workers.training.room import ran_out

if TYPE_CHECKING:
    from pathlib import Path

DOING_SECONDS = 10.0
"""How often a phase without steps tells that it goes on."""
TRAINING = "training"


class Sink(Protocol):
    """An unbuffered stream: `write` says how much it took."""

    def write(self, data: bytes, /) -> int | None:
        """Write some of it."""

    def close(self) -> None:
        """Close it."""


class Listener(Protocol):
    """Somebody else who wants the events."""

    def hear(self, event: Event) -> None:
        """Take one, at once."""

    def close(self) -> None:
        """Come to an end, soon."""


class Reporter:
    """Writes events at once, so that nothing is lost when the process dies."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._lock = threading.Lock()
        self._unwritten = b""
        self._told_at = time.monotonic()
        self._listener: Listener | None = None
        self.phase = "starting"
        """What is being done, for whoever explains a failure."""

    @classmethod
    def to_pipe(cls, descriptor: int) -> Reporter:
        """Report to an inherited file descriptor."""
        return cls(os.fdopen(descriptor, "wb", buffering=0))

    @classmethod
    def to_file(cls, path: Path) -> Reporter:
        """Report to a file that earlier attempts may have begun; a line cut off by a kill is dropped first."""
        if path.exists():
            with path.open("rb+") as file:
                whole = file.read().rfind(b"\n") + 1
                file.truncate(whole)
        return cls(path.open("ab", buffering=0))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._sink.close()

    def also_to(self, listener: Listener) -> None:
        """Tell somebody else, too, until the last event."""
        self._listener = listener

    def emit(self, event: Event) -> None:
        """Write one event. A reader that is gone means that nobody wants this work any more: leave at once."""
        with self._lock:
            self._unwritten += event.model_dump_json().encode() + b"\n"
            self._told_at = time.monotonic()
            try:
                while self._unwritten:
                    self._unwritten = self._unwritten[self._sink.write(self._unwritten) or 0 :]
            except BrokenPipeError:
                os._exit(1)
            except OSError as error:
                if not ran_out(error):
                    raise
                # A full disk holds back what is told, not the training: it is written with what comes next.
        if self._listener:
            self._listener.hear(event)

    def doing(self, what: str) -> None:
        """Say what goes on where there are no steps. Asked for with every bit of progress; told when it is new, and then now and again."""
        if what != self.phase or time.monotonic() - self._told_at >= DOING_SECONDS:
            self.phase = what
            self.emit(Doing(what=what))

    def started(self, message: str, *, step: int, total_steps: int, data: dict[str, Any]) -> None:
        """Say that training begins, and what was chosen."""
        self.phase = TRAINING
        self.emit(Started(message=message, step=step, total_steps=total_steps, data=data))

    def metric(self, step: int, name: str, value: float) -> None:
        """Report a number at a step."""
        self.phase = TRAINING
        self.emit(Metric(step=step, name=name, value=value))

    def checkpoint(self, step: int, path: str) -> None:
        """Say that a whole checkpoint lies at `path`."""
        self.emit(Checkpoint(step=step, path=path))

    def notice(self, message: str, **data: Any) -> None:
        """Tell something a person should know."""
        self.emit(Notice(message=message, data=data))

    def finished(self, event: Finished) -> None:
        """Write the last line, once whoever else listens has come to an end: nothing is told after it."""
        if self._listener:
            self._listener.hear(event)
            self._listener.close()
            self._listener = None
        self.emit(event)
