"""Things done side by side: so many at a time, in their order, and none after an error."""

from __future__ import annotations

import threading
from functools import partial

import pytest

from workers.evaluation.lanes import Lanes, go_along

SECONDS = 60.0


def nothing() -> None:
    """Neither is asked for."""


def test_so_many_are_done_at_a_time_and_each_once() -> None:
    together, begun = threading.Barrier(3), list[int]()

    def task(number: int) -> None:
        begun.append(number)
        together.wait(SECONDS)

    done: list[int] = []
    tasks = [partial(task, number) for number in range(9)]
    go_along([Lanes(tasks, 3)], done=lambda: done.append(len(begun)), look=nothing, look_seconds=SECONDS)
    assert sorted(begun) == list(range(9))
    assert len(done) == 9


def test_one_at_a_time_keeps_the_order_while_others_go_on() -> None:
    order: list[str] = []
    first = threading.Event()

    def slow() -> None:
        assert first.wait(SECONDS)
        order.append("slow")

    def other() -> None:
        order.append("other")
        first.set()

    tasks = [slow, lambda: order.append("second"), lambda: order.append("third")]
    go_along([Lanes(tasks, 1), Lanes([other], 4)], done=nothing, look=nothing, look_seconds=SECONDS)
    assert order == ["other", "slow", "second", "third"]


def test_an_error_is_raised_and_nothing_more_begun() -> None:
    begun: list[int] = []

    def task(number: int) -> None:
        begun.append(number)
        if number == 2:
            message = "no more"
            raise ValueError(message)

    with pytest.raises(ValueError, match="no more"):
        go_along([Lanes([partial(task, number) for number in range(9)], 1)], done=nothing, look=nothing, look_seconds=SECONDS)
    assert begun == [0, 1, 2]


def test_who_calls_may_leave_and_looks_while_nothing_is_done() -> None:
    held, begun = threading.Event(), list[int]()

    def task(number: int) -> None:
        begun.append(number)
        held.wait(SECONDS)

    def leave() -> None:
        if begun:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        go_along([Lanes([partial(task, number) for number in range(9)], 1)], done=nothing, look=leave, look_seconds=0.01)
    held.set()
    for lane in [each for each in threading.enumerate() if each.name == "lane"]:
        lane.join(SECONDS)
    assert begun == [0]
