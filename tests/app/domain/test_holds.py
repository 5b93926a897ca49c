"""Device hours: from claim to giving back, attempt by attempt."""

from __future__ import annotations

import pytest

from app.domain.holds import Hold, carried_over, holds_of, seconds_held, with_begun, with_ended


def test_attempts_add_up_and_waiting_between_them_costs_nothing() -> None:
    holds = [Hold(begin=100, end=160), Hold(begin=500, end=530)]
    assert seconds_held(holds, until=1_000) == 90


def test_a_hold_that_lasts_counts_up_to_now() -> None:
    assert seconds_held([Hold(begin=100, end=160), Hold(begin=500)], until=520) == 80


def test_only_the_last_hold_can_last() -> None:
    assert seconds_held([Hold(begin=100), Hold(begin=500, end=510)], until=900) == 10


@pytest.mark.parametrize(("since", "until", "seconds"), [(0, 50, 0), (120, 140, 20), (150, 505, 15), (700, 900, 0)])
def test_a_week_takes_only_what_falls_into_it(since: float, until: float, seconds: float) -> None:
    assert seconds_held([Hold(begin=100, end=160), Hold(begin=500, end=600)], since=since, until=until) == seconds


def test_a_run_keeps_its_holds_when_a_new_attempt_tells_its_own_facts() -> None:
    facts = with_ended(with_begun({"device": "cpu"}, Hold(begin=1, host="bench", device="CPU")), 5)
    again = with_begun(carried_over(facts) | {"device": "cuda"}, Hold(begin=8))
    assert [(hold.begin, hold.end) for hold in holds_of(again)] == [(1, 5), (8, None)]
    assert again["device"] == "cuda"


def test_what_ended_ends_no_second_time_and_never_before_it_began() -> None:
    facts = with_ended(with_begun({}, Hold(begin=10)), 4)
    assert holds_of(facts)[0].end == 10
    assert with_ended(facts, 99) == facts
    assert with_ended({}, 99) == {}


def test_runs_from_before_holds_were_kept_have_none() -> None:
    assert holds_of({"device": "cpu"}) == holds_of({"holds": "x"}) == []
    assert carried_over({"device": "cpu"}) == {}
