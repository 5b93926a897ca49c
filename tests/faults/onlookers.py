"""People who look at a studio through all of an outage: what they are answered, how long it took, and whether their live page recovers."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import httpx

PATHS = ("/", "/runs", "/api/v1/runs", "/readyz")
HANGS_SECONDS = 60.0
OK, AWAY = 200, 503


@dataclass(frozen=True)
class Answer:
    """What one request came to."""

    path: str
    status: int
    seconds: float
    retry_after: str | None

    @property
    def is_fine(self) -> bool:
        """Whether it is what was asked for, or the word to try again soon; /readyz is for machines that ask again anyway."""
        return self.status == OK or (self.status == AWAY and (self.retry_after is not None or self.path == "/readyz"))


@dataclass
class Onlookers:
    """Threads that ask for pages and over REST, again and again, for the time of a with block; and one that holds a live page."""

    address: str
    key: str
    answers: list[Answer] = field(default_factory=list)
    rung: list[float] = field(default_factory=list)

    def __enter__(self) -> Self:
        """Begin to look."""
        self._enough = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(path,)) for path in PATHS]
        self._threads.append(threading.Thread(target=self._follow))
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Look away."""
        self._enough.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, path: str) -> None:
        headers = {"Authorization": f"Bearer {self.key}"}
        with httpx.Client(base_url=self.address, headers=headers, timeout=HANGS_SECONDS, trust_env=False) as client:
            while not self._enough.wait(0.2):
                began = time.monotonic()
                answer = client.get(path)
                self.answers.append(Answer(path, answer.status_code, time.monotonic() - began, answer.headers.get("Retry-After")))

    def _follow(self) -> None:
        """Hold a live page as its script does: come back with what was heard last, and try again while the studio says no."""
        last = ""
        with httpx.Client(base_url=self.address, timeout=5, trust_env=False) as client:
            while not self._enough.wait(0.5):
                try:
                    with client.stream("GET", "/live?topics=runs", headers={"Last-Event-ID": last} if last else {}) as stream:
                        for line in stream.iter_lines():
                            last = line.removeprefix("id: ") if line.startswith("id: ") else last
                            if line.startswith("event: "):
                                self.rung.append(time.monotonic())
                            if self._enough.is_set():
                                return
                except httpx.HTTPError:
                    continue

    @property
    def slowest(self) -> float:
        """Return how long the slowest answer took."""
        return max(answer.seconds for answer in self.answers)

    def latest(self) -> dict[str, int]:
        """Return how each path was answered last."""
        return {answer.path: answer.status for answer in list(self.answers)}

    def told_to_wait(self, path: str) -> list[Answer]:
        """Return the answers that a path is not to be had just now."""
        return [answer for answer in self.answers if answer.path == path and answer.status == AWAY]

    def unexpected(self) -> list[Answer]:
        """Return the answers that are neither what was asked for nor the word to try again soon."""
        return [answer for answer in self.answers if not answer.is_fine]
