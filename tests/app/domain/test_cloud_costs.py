"""The API's bill against a model of one's own, by figures one can follow on paper."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.cloud_costs import (
    HOURS,
    CloudCosts,
    Hosting,
    Verdict,
    api_call,
    calls_to_be_worth_it,
    compare,
    machines_for,
    running_month,
    usual_month,
)


def asked(**fields: Any) -> CloudCosts:
    """A million calls of 1,000 + 500 tokens at 1 and 2 a million: 2,000 a month; rented for 1 an hour."""
    usual = {
        "calls": 1_000_000, "prompt_tokens": 1000, "answer_tokens": 500, "price_in": 1.0, "price_out": 2.0, "hourly": 1.0,
        "one_off": 2540.0, "read_rate": 1e6, "write_rate": 1e6,
    }  # fmt: skip
    return CloudCosts(**usual | fields)


def test_a_call_costs_its_tokens() -> None:
    assert api_call(asked()) == pytest.approx(0.002)
    assert api_call(asked(cached_percent=80, price_cached=0.1)) == pytest.approx((200 * 1 + 800 * 0.1 + 500 * 2) / 1e6)


def test_the_own_model_breaks_even_when_it_has_paid_its_beginning_back() -> None:
    found = compare(asked())
    assert found.first.api == pytest.approx(2000)
    assert found.first.own == pytest.approx(730)
    assert found.own_monthly == pytest.approx(730)
    # 2,540 at the start, and 1,270 saved each month.
    assert found.break_even == 2
    assert found.verdict == Verdict.BREAKS_EVEN
    assert found.saved == pytest.approx(36 * 1270 - 2540)


def test_at_a_small_volume_the_api_stays_cheaper() -> None:
    found = compare(asked(calls=10_000))
    assert found.break_even is None
    assert found.verdict == Verdict.NEVER
    assert found.saved == pytest.approx(36 * (20 - 730) - 2540)


def test_a_start_that_is_not_paid_back_in_the_time_looked_at_is_told_apart() -> None:
    assert compare(asked(one_off=1_000_000)).verdict == Verdict.LATER


def test_without_a_bill_there_is_nothing_to_compare() -> None:
    assert compare(asked(calls=0, one_off=0, hourly=0)).verdict == Verdict.NO_BILL


def test_machines_are_as_many_as_the_busiest_hour_needs() -> None:
    slow = asked(read_rate=1000, write_rate=1000, peak=1)  # a call takes 1.5 s: a machine serves 2,400 an hour
    assert machines_for(slow, 2400 * HOURS) == 1
    assert machines_for(slow, 2400 * HOURS + HOURS) == 2
    assert machines_for(slow.model_copy(update={"peak": 3.0}), 2400 * HOURS) == 3
    assert machines_for(slow.model_copy(update={"hours": HOURS / 2}), 2400 * HOURS) == 2
    assert machines_for(slow, 0) == 1


def test_a_machine_of_ones_own_is_paid_when_it_is_bought_and_again_when_its_life_is_over() -> None:
    own = asked(hosting=Hosting.OWN, machine_price=3000, life_months=12, watts=1000, kwh_price=0.1, upkeep=50, one_off=0, months=14)
    paid = [month.own for month in compare(own).months]
    assert paid[0] == paid[12] == pytest.approx(3000 + 73 + 50)
    assert paid[1] == paid[11] == paid[13] == pytest.approx(73 + 50)
    assert usual_month(own, 1) == pytest.approx(3000 / 12 + 73 + 50)
    assert running_month(own, 2) == pytest.approx(146)


def test_machines_are_added_as_calls_grow_and_kept_when_they_fall() -> None:
    own = asked(
        hosting=Hosting.OWN, calls=2400 * HOURS, growth_percent=50, read_rate=1000, write_rate=1000, peak=1, machine_price=1e6, months=3
    )
    assert [month.machines for month in compare(own).months] == [1, 2, 3]
    assert [round(month.own, -6) for month in compare(own).months] == [1e6, 1e6, 1e6]
    fewer = compare(own.model_copy(update={"calls": 4800 * HOURS, "growth_percent": -50}))
    assert [round(month.own, -6) for month in fewer.months] == [2e6, 0, 0]


def test_a_later_machine_can_undo_what_was_paid_back() -> None:
    own = asked(hosting=Hosting.OWN, machine_price=10_000, life_months=6, one_off=0, watts=0, months=6)
    assert compare(own).break_even == 5
    assert compare(own.model_copy(update={"months": 8})).break_even is None
    assert compare(own.model_copy(update={"months": 12})).break_even == 10


@pytest.mark.parametrize(
    ("fields", "calls"),
    [
        ({}, 365_000),
        ({"upkeep": 1270}, 1_000_000),
        ({"calls": 5}, 365_000),
        ({"price_in": 0, "price_out": 0}, None),
        # A machine serves 1,752,000 calls a month (3,504 an API would take); without people's time it is worth it at once.
        ({"read_rate": 1000, "write_rate": 1000, "peak": 1, "hourly": 5}, None),
        ({"prompt_tokens": 0, "price_out": 2, "answer_tokens": 1, "hourly": 0, "upkeep": 2}, 1_000_000),
    ],
)
def test_from_which_volume_an_own_model_is_worth_it(fields: dict[str, Any], calls: float | None) -> None:
    assert calls_to_be_worth_it(asked(**fields)) == (None if calls is None else pytest.approx(calls))


def test_more_machines_than_one_may_be_needed_before_it_is_worth_it() -> None:
    busy = asked(read_rate=1000, write_rate=1000, peak=1, hourly=4, upkeep=1000)  # a machine: 2,920 for 3,504 of the API
    assert calls_to_be_worth_it(busy) == pytest.approx((2 * 2920 + 1000) / 0.002)


@given(
    st.integers(0, 10**7), st.floats(0, 20), st.floats(0, 50), st.floats(-20, 20), st.sampled_from(Hosting), st.integers(1, 60)
)  # fmt: skip
def test_what_is_paid_adds_up(calls: int, price: float, hourly: float, growth: float, hosting: Hosting, months: int) -> None:
    found = compare(asked(calls=calls, price_out=price, hourly=hourly, growth_percent=growth, hosting=hosting, months=months))
    assert len(found.months) == months
    assert found.last.api_so_far == pytest.approx(sum(month.api for month in found.months))
    assert found.last.own_so_far == pytest.approx(2540 + sum(month.own for month in found.months))
    worth = calls_to_be_worth_it(found.asked)
    if worth is not None and worth < calls and found.first.machines == 1:
        assert found.own_monthly <= found.first.api * (1 + 1e-9)
