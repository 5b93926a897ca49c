"""What a tracker's process does with a library that fails, comes back, hangs or cannot be used."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pytest

from app.domain.events import Event, Finished, Metric, Notice, Started
from workers.training.trackers import relay
from workers.training.trackers.relay import Relay
from workers.training.trackers.words import Unusable

if TYPE_CHECKING:
    from workers.training.trackers.relay import Numbers

GOES_ON = "The run goes on; its numbers are sent when that is over, and are all here."

BEGUN = Started(message="m", data={"base": "small", "base_dir": "/srv/ann", "settings": {"rank": 8}})
NUMBERS: list[Event] = [
    Metric(step=1, name="train/loss", value=2.0), Metric(step=1, name="eval/loss", value=3.0), Metric(step=2, name="train/loss", value=1.0),
]  # fmt: skip


class Board:
    """A client that keeps what it gets, after failing as often as it is told to."""

    def __init__(self, *, failures: int = 0, error: Exception | None = None) -> None:
        self.opened: list[Mapping[str, Any]] = []
        self.numbers: dict[int, dict[str, float]] = {}
        self.closed: list[str] = []
        self._failures, self._error = failures, error or ConnectionRefusedError("refused")

    def open(self, configuration: Mapping[str, Any]) -> None:
        if self._failures > 0:
            self._failures -= 1
            raise self._error
        self.opened.append(configuration)

    def log(self, numbers: Numbers) -> None:
        self.numbers |= {step: dict(values) for step, values in numbers.items()}

    def close(self, status: str) -> None:
        self.closed.append(status)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "EVERY_SECONDS", 0.02)


def relayed(board: Any, events: Iterator[Event]) -> list[str]:
    """Relay events to a board; return what was told."""
    told: list[str] = []
    Relay("The board", board, told.append, dataset="mails.jsonl", again_seconds=0.02).run(events)
    return told


def test_settings_numbers_by_step_and_the_end_arrive() -> None:
    board = Board()
    assert relayed(board, iter([BEGUN, Notice(message="for people"), *NUMBERS, Finished(status="failed", reason="why")])) == []
    assert board.opened == [{"base": "small", "rank": 8, "dataset": "mails.jsonl"}]
    assert board.numbers == {1: {"train/loss": 2.0, "eval/loss": 3.0}, 2: {"train/loss": 1.0}}
    assert board.closed == ["failed"]


def test_a_run_that_was_cut_off_ends_as_interrupted() -> None:
    board = Board()
    relayed(board, iter([BEGUN]))
    assert board.closed == ["interrupted"]


def test_an_outage_is_told_once_and_loses_nothing_when_it_ends_before_the_run() -> None:
    arrived = threading.Event()

    class Returning(Board):
        def log(self, numbers: Numbers) -> None:
            super().log(numbers)
            arrived.set()

    board = Returning(failures=5)

    def events() -> Iterator[Event]:
        yield from [BEGUN, *NUMBERS]
        assert arrived.wait(30)
        yield Finished(status="succeeded")

    told = relayed(board, events())
    assert told == [f"The board cannot be reached: the connection was refused. {GOES_ON}"]
    assert (sorted(board.numbers), board.closed) == ([1, 2], ["succeeded"])


def test_an_outage_that_outlasts_the_run_ends_with_it() -> None:
    board = Board(failures=10**6)
    assert len(relayed(board, iter([BEGUN, *NUMBERS, Finished(status="succeeded")]))) == 1
    assert (board.numbers, board.closed) == ({}, [])


def test_a_call_that_does_not_come_back_is_told_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "PATIENCE_SECONDS", 0.05)
    told: list[str] = []
    heard = threading.Event()

    class Hanging(Board):
        def open(self, _configuration: Mapping[str, Any]) -> None:
            assert heard.wait(30)

    def tell(words: str) -> None:
        told.append(words)
        heard.set()

    Relay("The board", Hanging(), tell).run(iter([BEGUN]))
    assert told == [f"The board cannot be reached: it does not answer. {GOES_ON}"]


def test_what_cannot_be_used_as_it_is_set_up_is_tried_no_more() -> None:
    board = Board(failures=10**6, error=Unusable("it knows no key. Set THE_KEY."))
    assert relayed(board, iter([BEGUN, *NUMBERS])) == [
        "The board gets no numbers: it knows no key. Set THE_KEY. The run goes on without it."
    ]
