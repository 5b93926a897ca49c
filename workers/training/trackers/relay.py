"""The loop of a tracker's process: what comes in is passed on in batches, and what cannot be is said once and tried again."""

from __future__ import annotations

import queue
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from app.domain.events import Finished, Metric, Started
from app.domain.tracking import configuration_of
from workers.training.trackers.words import Unusable, in_words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from app.domain.events import Event

    Numbers = Mapping[int, Mapping[str, float]]

EVERY_SECONDS = 1.0
"""So often numbers are passed on."""
AGAIN_SECONDS = 15.0
PATIENCE_SECONDS = 20.0
"""After so long a call that has not come back is told."""
MOST_WAITING = 2_000
"""When as many wait here, no more are read; the trainer holds back the others."""


class Client(Protocol):
    """A tracker's library, and one run in it."""

    def open(self, configuration: Mapping[str, Any]) -> None:
        """Begin the run there, or go on with it; Unusable when trying again is of no use."""

    def log(self, numbers: Numbers) -> None:
        """Pass on numbers by step, in ascending order."""

    def close(self, status: str) -> None:
        """End the run: `status` is that of the last event, or `interrupted`."""


class Relay:
    """Passes on the events of one run to one client."""

    def __init__(
        self, words: str, client: Client, tell: Callable[[str], None], *, dataset: str = "", again_seconds: float = AGAIN_SECONDS
    ) -> None:
        self._words, self._client, self._tell, self._dataset = words, client, tell, dataset
        self._again_seconds = again_seconds
        self._events: queue.Queue[Event] = queue.Queue(MOST_WAITING)
        self._all_read = threading.Event()
        self._configuration: Mapping[str, Any] | None = None
        self._numbers: dict[int, dict[str, float]] = {}
        self._status = "interrupted"
        self._is_open = self._has_told = False

    def run(self, events: Iterable[Event]) -> None:
        """Pass on everything, until there is no more and the last attempt is made."""
        threading.Thread(target=self._read, args=(events,), name="events", daemon=True).start()
        try:
            if self._pass_on_all() and self._is_open:
                self._attempt(lambda: self._client.close(self._status))
        except Unusable as why:
            self._say(f"{self._words} gets no numbers: {why.message} The run goes on without it.")

    def _read(self, events: Iterable[Event]) -> None:
        for event in events:
            self._events.put(event)
        self._all_read.set()

    def _pass_on_all(self) -> bool:
        """Return whether everything went out; what cannot is tried again as long as the run lasts, and once at its end."""
        while True:
            is_last = self._all_read.wait(EVERY_SECONDS)
            if self._attempt(self._pass_on):
                if is_last and self._events.empty():
                    return True
            elif is_last:
                return False
            else:
                self._all_read.wait(self._again_seconds)

    def _pass_on(self) -> None:
        self._sort()
        if self._configuration is None:
            return
        if not self._is_open:
            self._client.open(self._configuration)
            self._is_open = True
        if self._numbers:
            self._client.log(dict(sorted(self._numbers.items())))
            self._numbers.clear()

    def _sort(self) -> None:
        """Sort what has come into settings, numbers by step, and the end."""
        while len(self._numbers) < MOST_WAITING:
            try:
                event = self._events.get_nowait()
            except queue.Empty:
                return
            if isinstance(event, Started):
                self._configuration = configuration_of(event) | ({"dataset": self._dataset} if self._dataset else {})
            elif isinstance(event, Metric):
                self._numbers.setdefault(event.step, {})[event.name] = event.value
            elif isinstance(event, Finished):
                self._status = event.status

    def _attempt(self, act: Callable[[], None]) -> bool:
        """Do something with the library; what it raises is said once."""
        try:
            with self._watched():
                act()
        except Unusable:
            raise
        except Exception as error:  # noqa: BLE001 - the process's outer edge: a library may raise anything
            self._say_unreachable(in_words(error))
            return False
        return True

    @contextmanager
    def _watched(self) -> Iterator[None]:
        timer = threading.Timer(PATIENCE_SECONDS, self._say_unreachable, args=("it does not answer",))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _say_unreachable(self, why: str) -> None:
        self._say(f"{self._words} cannot be reached: {why}. The run goes on; its numbers are sent when that is over, and are all here.")

    def _say(self, what: str) -> None:
        if not self._has_told:
            self._has_told = True
            self._tell(what)
