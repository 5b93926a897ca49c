"""A place that fails, hangs or is slow, and a training that never notices."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import pytest

from app.domain.events import Event, Metric
from workers.training.trackers import outlet
from workers.training.trackers.outlet import Outlet


class Place:
    """Takes events, hangs until it is let go of, or fails."""

    def __init__(self, *, hangs: bool = False, fails: bool = False) -> None:
        self.troubled = False
        self.taken: list[Event] = []
        self.ended = self.abandoned = False
        self._hangs, self._fails = hangs, fails
        self._free = threading.Event()
        self.asked = threading.Event()

    def begin(self) -> None:
        """Do nothing."""

    def take(self, events: Sequence[Event]) -> None:
        self.asked.set()
        if self._fails:
            raise OSError(28, "No space left on device")
        if self._hangs:
            self._free.wait(60)
        self.taken += events

    def end(self) -> None:
        self.ended = True

    def abandon(self) -> None:
        self.abandoned = True
        self._free.set()


def losses(count: int) -> list[Event]:
    return [Metric(step=step, name="train/loss", value=0.5) for step in range(count)]


def feed(place: Place, events: Sequence[Event], *, seconds: float = 30.0) -> tuple[list[str], float]:
    """Feed a place, and have it asked to take some; return what was told, and how long giving it everything took."""
    told: list[str] = []
    fed = Outlet("The board", place, told.append)
    began = time.monotonic()
    for event in events:
        fed.put(event)
    putting = time.monotonic() - began
    assert place.asked.wait(30.0)
    fed.close()
    now = time.monotonic()
    fed.join(now + seconds, until_if_troubled=now)
    return told, putting


def test_everything_arrives_in_order_before_the_end() -> None:
    place, events = Place(), losses(500)
    assert feed(place, events)[0] == []
    assert (place.taken, place.ended) == (events, True)


def test_what_fails_is_told_once_and_takes_no_more() -> None:
    told, _ = feed(Place(fails=True), losses(50))
    assert told == ["The board takes no more numbers: No space left on device. The run goes on without it."]


def test_a_place_that_hangs_is_let_go_of_and_what_waits_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlet, "MOST_WAITING", 40)
    monkeypatch.setattr(outlet, "GATHER_SECONDS", 0.0)
    place = Place(hangs=True)
    told, putting = feed(place, losses(1000), seconds=0.2)
    assert place.abandoned
    assert putting < 5.0
    (words,) = told
    assert words.startswith("The board did not take 1,000 numbers in time.")


def test_a_place_that_has_told_of_trouble_is_not_waited_for() -> None:
    place = Place(hangs=True)
    place.troubled = True
    # Whoever waited would find that it has let go by itself.
    feed(place, losses(1), seconds=10_000.0)
    assert place.abandoned
