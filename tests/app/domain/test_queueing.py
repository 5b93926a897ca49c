"""Moving waiting runs: each lands where it was put, whatever the priorities, and nobody else changes places."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.domain.errors import Conflict
from app.domain.queueing import Move, Priority, Standing, To, moved, priority_of

QUEUE = [Standing("a", 1, 30), Standing("b", 0, 10), Standing("c", 0, 20), Standing("d", 0, 40), Standing("e", -1, 5)]


def order(queue: list[Standing]) -> str:
    return "".join(one.id for one in queue)


def as_claimed(queue: list[Standing]) -> list[Standing]:
    """Give a queue in the order of claims."""
    return sorted(queue, key=lambda one: (-one.priority, one.place, one.id))


@st.composite
def queues(draw: st.DrawFn) -> list[Standing]:
    ids = draw(st.lists(st.text("abcdef", min_size=1, max_size=3), min_size=1, max_size=12, unique=True))
    return as_claimed([Standing(one, draw(st.sampled_from([-1, 0, 1])), draw(st.integers(0, 6))) for one in ids])


@pytest.mark.parametrize(
    ("run_id", "move", "wanted"),
    [
        ("d", Move(before="b"), "adbce"),
        ("d", Move(before=None), "abced"),
        ("b", Move(after="c"), "acbde"),
        ("d", Move(to=To.FIRST), "dabce"),
        ("b", Move(to=To.LAST), "acdeb"),
        ("c", Move(to=To.SOONER), "acbde"),
        ("c", Move(to=To.LATER), "abdce"),
        ("a", Move(to=To.SOONER), "abcde"),
        ("e", Move(to=To.LATER), "abcde"),
    ],
)
def test_a_run_stands_where_it_was_put(run_id: str, move: Move, wanted: str) -> None:
    assert order(moved(QUEUE, run_id, move)) == order(as_claimed(moved(QUEUE, run_id, move))) == wanted


def test_a_run_takes_a_priority_only_where_its_neighbours_leave_it_none_of_its_own() -> None:
    assert moved(QUEUE, "d", Move(to=To.FIRST))[0].priority == 1
    assert moved(QUEUE, "b", Move(before="e"))[3] == Standing("b", 0, 40)
    assert moved(QUEUE, "e", Move(before="d"))[3].priority == 0
    assert moved(QUEUE, "a", Move(after="e"))[-1].priority == -1


@given(queue=queues(), data=st.data())
def test_whoever_is_moved_lands_there_and_nobody_else_changes_order_or_priority(queue: list[Standing], data: st.DataObject) -> None:
    run = data.draw(st.sampled_from(queue))
    others = [one.id for one in queue if one.id != run.id]
    before = data.draw(st.sampled_from([*others, None]))
    after = moved(queue, run.id, Move(before=before))
    at = others.index(before) if before else len(others)
    assert [one.id for one in after] == [*others[:at], run.id, *others[at:]]
    assert as_claimed(after) == after
    assert {one.id: one.priority for one in after if one.id != run.id} == {one.id: one.priority for one in queue if one.id != run.id}


@given(queue=queues(), data=st.data())
def test_places_are_only_exchanged_unless_some_were_equal(queue: list[Standing], data: st.DataObject) -> None:
    queue = as_claimed([one._replace(place=10 * at) for at, one in enumerate(queue)])
    run = data.draw(st.sampled_from(queue))
    after = moved(queue, run.id, Move(to=data.draw(st.sampled_from(To))))
    assert sorted(one.place for one in after) == sorted(one.place for one in queue)


def test_equal_places_are_told_apart_so_that_ids_decide_nothing() -> None:
    after = moved([Standing(one, 0, 0) for one in "abc"], "c", Move(to=To.FIRST))
    assert all(one.place < other.place for one, other in pairwise(after))


def test_who_does_not_wait_can_neither_be_moved_nor_stood_beside() -> None:
    for run_id, move in (("gone", Move(to=To.FIRST)), ("a", Move(before="gone")), ("a", Move(after="gone"))):
        with pytest.raises(Conflict):
            moved(QUEUE, run_id, move)


@pytest.mark.parametrize("given", [{}, {"before": "a", "to": "first"}, {"after": None}, {"to": None}, {"to": "up"}, {"behind": "a"}])
def test_a_move_is_one_thing(given: dict[str, str | None]) -> None:
    with pytest.raises(ValidationError):
        Move.model_validate(given)


def test_priorities_have_numbers_and_old_numbers_have_words() -> None:
    assert [priority_of(priority.number) for priority in Priority] == list(Priority)
    assert [priority_of(number) for number in (5, 0, -3)] == ["high", "normal", "low"]
