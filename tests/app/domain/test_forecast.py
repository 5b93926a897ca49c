"""The queue played forward: who starts when, and what cannot be told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.forecast import Lane, Waiting, span_of, starts
from app.domain.spans import Span


def likely(queue: list[Waiting], lanes: list[Lane], slots: int | None = None) -> dict[str, float]:
    return {run_id: span.likely for run_id, span in starts(queue, lanes, slots).items()}


FREE = Lane(Span.exactly(0))
LINE = [Waiting(run_id, Span.exactly(100)) for run_id in "abcd"]
spans = st.lists(st.floats(0, 1e5), min_size=3, max_size=3).map(lambda three: Span(*(sorted(three)[place] for place in (1, 0, 2))))
runs = st.lists(st.one_of(st.none(), spans), max_size=12).map(lambda times: [Waiting(str(n), takes) for n, takes in enumerate(times)])
lanes = st.lists(st.one_of(st.none(), spans).map(Lane), max_size=5)


def test_runs_start_one_after_the_other_on_one_lane_and_side_by_side_on_two() -> None:
    assert likely(LINE, [Lane(Span.exactly(30))]) == {"a": 30, "b": 130, "c": 230, "d": 330}
    assert likely(LINE, [Lane(Span.exactly(30)), FREE]) == {"a": 0, "b": 30, "c": 100, "d": 130}


def test_a_limit_leaves_lanes_idle() -> None:
    assert likely(LINE, [Lane(Span.exactly(30)), FREE], slots=1) == {"a": 30, "b": 130, "c": 230, "d": 330}
    assert likely(LINE, [FREE, FREE], slots=0) == {}


def test_who_needs_a_gpu_waits_for_one_and_is_passed_by_who_does_not() -> None:
    queue = [Waiting("a", Span.exactly(10), needs_gpu=True), Waiting("b", Span.exactly(10))]
    assert likely(queue, [FREE, Lane(Span.exactly(50), has_gpu=True)]) == {"a": 50, "b": 0}
    assert likely(queue, [FREE]) == {"b": 0}


def test_a_run_without_a_gpu_leaves_the_gpu_to_who_needs_it() -> None:
    queue = [Waiting("a", Span.exactly(10)), Waiting("b", Span.exactly(10), needs_gpu=True)]
    assert likely(queue, [Lane(Span.exactly(0), has_gpu=True), FREE]) == {"a": 0, "b": 0}


def test_behind_what_nobody_knows_nothing_is_told() -> None:
    queue = [Waiting("a", None), *LINE[1:3]]
    assert likely(queue, [FREE]) == {"a": 0}
    assert likely(queue, [FREE, FREE]) == {"a": 0, "b": 0, "c": 100}
    assert likely(LINE, [Lane(None)]) == {}


def test_what_is_far_is_told_more_vaguely_than_what_is_near() -> None:
    told = starts([Waiting(run_id, Span(100, 80, 150)) for run_id in "abc"], [FREE])
    assert told == {"a": Span.exactly(0), "b": Span(100, 80, 150), "c": Span(200, 160, 300)}


@given(queue=runs, lanes=lanes, slots=st.one_of(st.none(), st.integers(0, 6)))
def test_nobody_starts_in_the_past_or_before_who_stands_ahead(queue: list[Waiting], lanes: list[Lane], slots: int | None) -> None:
    told = starts(queue, lanes, slots)
    found = [told[run.id] for run in queue if run.id in told]
    assert [run.id for run in queue][: len(found)] == list(told)
    assert all(0 <= span.low <= span.likely <= span.high for span in found)
    assert [span.likely for span in found] == sorted(span.likely for span in found)


@given(queue=runs, lanes=lanes)
def test_no_more_run_at_once_than_there_are_lanes(queue: list[Waiting], lanes: list[Lane]) -> None:
    told = starts(queue, lanes)
    takes = {run.id: run.takes.likely if run.takes else float("inf") for run in queue}
    ends = [(lane.free_in.likely if lane.free_in else float("inf")) for lane in lanes]
    begun = [(span.likely, span.likely + takes[run_id]) for run_id, span in told.items()]
    for now, _ in begun:
        at_work = sum(end > now for end in ends) + sum(begin <= now < end for begin, end in begun)
        assert at_work <= len(lanes)


@pytest.mark.parametrize(("samples", "wanted"), [([10.0], Span(10, 8, 12)), ([4, 10, 11], Span(10, 4, 12)), ([9, 10, 30], Span(10, 8, 30))])
def test_few_measured_times_promise_little(samples: list[float], wanted: Span) -> None:
    assert span_of(samples) == wanted
