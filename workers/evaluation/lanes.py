"""Doing several things that wait for others at the same time, in threads that this process's end does not wait for."""

from __future__ import annotations

import queue
import threading
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Lanes(NamedTuple):
    """Things to be done in order, at most so many of them at the same time."""

    tasks: Sequence[Callable[[], None]]
    many: int


def go_along(every: Sequence[Lanes], *, done: Callable[[], None], look: Callable[[], None], look_seconds: float) -> None:
    """Do everything, and raise the first error; from then on nothing more is begun, and nobody waits for what is under way.

    Both are called in the caller's thread: `done` after each thing, `look` when for so many seconds nothing was done.
    """
    came: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()
    over = threading.Event()

    def drive(left: deque[Callable[[], None]]) -> None:
        while not over.is_set() and (task := _taken(left)):
            try:
                task()
            except Exception as error:  # noqa: BLE001 - the outer edge of this thread: whoever waits is told
                over.set()
                came.put(error)
            else:
                came.put(None)

    try:
        for lanes in every:
            left = deque(lanes.tasks)
            for _ in range(min(lanes.many, len(left))):
                threading.Thread(target=drive, args=(left,), name="lane", daemon=True).start()
        for _ in range(sum(len(lanes.tasks) for lanes in every)):
            _next(came, look, look_seconds)
            done()
    finally:
        over.set()


def _taken(left: deque[Callable[[], None]]) -> Callable[[], None] | None:
    try:
        return left.popleft()
    except IndexError:
        return None


def _next(came: queue.SimpleQueue[Exception | None], look: Callable[[], None], look_seconds: float) -> None:
    while True:
        try:
            error = came.get(timeout=look_seconds)
        except queue.Empty:
            look()
        else:
            break
    if error is not None:
        raise error
