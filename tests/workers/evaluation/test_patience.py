"""Leaving a busy model alone: together, as long as it asks for, and not for ever."""

from __future__ import annotations

from workers.evaluation.patience import Patience


class Clock:
    """Time that goes on when somebody waits, or when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.now += seconds


def test_all_wait_for_what_one_was_told() -> None:
    clock = Clock()
    patience = Patience(60, clock.pause, clock)
    patience.wait()
    assert (clock.now, patience.waits_for) == (100, "")
    assert patience.leave_alone("It is busy.", 7, endless=False)
    assert patience.leave_alone("It is very busy.", 2, endless=False)
    assert patience.waits_for == "It is very busy."
    patience.wait()
    assert (clock.now, patience.waits_for) == (107, "")


def test_what_several_find_at_once_is_waited_for_once() -> None:
    clock = Clock()
    patience = Patience(60, clock.pause, clock)
    assert [patience.leave_alone("", 50, endless=False) for _ in range(4)] == [True] * 4
    patience.wait()
    assert clock.now == 150
    assert not patience.leave_alone("", 11, endless=False)
    assert patience.leave_alone("", 10, endless=False)


def test_where_nothing_is_asked_for_it_waits_twice_as_long_each_time() -> None:
    clock, waited = Clock(), list[float]()
    patience = Patience(200, clock.pause, clock)
    for _ in range(7):
        begun = clock.now
        # Four at a time find it so.
        assert all(patience.leave_alone("", None, endless=False) for _ in range(4))
        patience.wait()
        waited.append(clock.now - begun)
    assert waited == [1, 2, 4, 8, 16, 30, 30]


def test_an_answer_gives_new_patience_and_what_has_no_end_takes_none() -> None:
    clock = Clock()
    patience = Patience(10, clock.pause, clock)
    for _ in range(5):
        assert patience.leave_alone("", 9, endless=False)
        patience.wait()
        patience.answered()
    for _ in range(5):
        assert patience.leave_alone("", 3600, endless=True)
        patience.wait()
    assert patience.leave_alone("", 10, endless=False)
