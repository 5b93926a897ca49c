"""Asking what may hang: a disk, a database or a server that is gone without a word must not hang whoever asks about it."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Probe(Generic[T]):
    """One question. One thread asks it at a time, however many want to know; a good answer counts for `fresh_seconds`."""

    def __init__(self, ask: Callable[[], T], *, fresh_seconds: float = 0.0) -> None:
        self._ask, self._fresh_seconds = ask, fresh_seconds
        self._lock = threading.Lock()
        self._asked: Future[T] | None = None
        self._fresh_until = 0.0

    def start(self) -> Future[T]:
        """Return the answer that is fresh or on its way, or have the question asked; whoever waits for it says how long."""
        with self._lock:
            if self._asked is None or (self._asked.done() and time.monotonic() >= self._fresh_until):
                asked: Future[T] = Future()
                threading.Thread(target=self._answer, args=(asked,), name="probe", daemon=True).start()
                self._asked = asked  # only now: where no thread could be started nobody would ever answer
            return self._asked

    def _answer(self, asked: Future[T]) -> None:
        try:
            answer = self._ask()
        except Exception as error:  # noqa: BLE001 - the outer edge of this thread: whoever waits is told
            asked.set_exception(error)
        else:
            self._fresh_until = time.monotonic() + self._fresh_seconds
            asked.set_result(answer)
