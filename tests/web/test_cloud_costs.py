"""The calculator of the API's bill: a sentence, figures that open to their arithmetic, two curves, every month."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from app.domain.cloud_costs import CloudCosts, compare
from app.services.estimates import Estimates
from app.web.cloud_costs_view import EXAMPLES, Bill, after
from tests.web.walk import part
from tools.sample_project import Sample

NOW = part("costs_now")
MILLION = "/cloud-costs?calls=1000000&prompt_tokens=1000&answer_tokens=500&price_in=1&price_out=2&hourly=1&one_off=2540"


def bill(**fields: float) -> Bill:
    return Bill(compare(CloudCosts.model_validate(fields)), "USD", date(2026, 11, 21))


@pytest.mark.parametrize("headers", [{}, NOW])
def test_the_answer_is_a_sentence_and_each_number_opens_to_its_arithmetic(empty: TestClient, headers: dict[str, str]) -> None:
    answer = empty.get(MILLION + "&read_rate=1000000&write_rate=1000000", headers=headers)
    assert answer.status_code == 200
    assert answer.text.startswith("<!doctype html>") == (not headers)
    assert f"by the end of month 2, in {after(datetime.now(UTC).date(), 2):%B %Y}." in answer.text
    assert "1,000,000 calls × (1,000 prompt tokens × $1.00 + 500 answer tokens × $2.00) / 1,000,000 = $2,000" in answer.text
    assert "1 machine × 730 h × $1.00 = $730.00" in answer.text
    assert "API $72,000" in answer.text


def test_that_the_api_is_cheaper_is_an_answer_too(empty: TestClient) -> None:
    text = empty.get("/cloud-costs?calls=1000&hourly=0.34").text
    assert "At this volume the API is cheaper." in text
    assert "from about 354,571 calls on." in text  # 730 × 0.34 / 0.0007
    assert "paid back:" not in text


def test_how_many_machines_the_busiest_hour_needs_is_worked_out(empty: TestClient) -> None:
    text = empty.get("/cloud-costs?calls=7300000&prompt_tokens=5000&answer_tokens=500&peak=2&read_rate=5000&write_rate=500").text
    assert (
        "7,300,000 calls / 730 h × 2 in the busiest hour × 2 s / 3,600 s = 11 machines at work, so it needs 12 such machines then." in text
    )


def test_a_machine_that_hardly_works_is_told_without_powers_of_ten() -> None:
    assert "× 0.56 s / 3,600 s = 0.0000064 machines at work" in bill(calls=10).figures[3].arithmetic


def test_machines_of_ones_own_are_counted_in_equal_parts_in_a_usual_month(empty: TestClient) -> None:
    text = empty.get("/cloud-costs?hosting=own&machine_price=3600&life_months=36&watts=1000&kwh_price=0.1&upkeep=20").text
    assert "1 machine × (730 h × 1,000 W / 1000 × $0.10 + $3,600 / 36 months) + $20.00 beside = $193.00" in text


def test_every_month_stands_in_a_table_behind_the_curves(empty: TestClient) -> None:
    text = empty.get("/cloud-costs?months=7").text
    assert text.count("<tr>") == 8
    assert 'role="img" aria-label="Paid by the end of each month:' in text


@pytest.mark.parametrize(
    ("query", "error"),
    [("calls=many", "Give a whole number."), ("hours=0", "Give 1 or more."), ("hosting=cloud", "Choose own or rented."),
     ("price_in=nan", "Give a number."), ("months=1000", "Give 120 or less.")],
)  # fmt: skip
def test_what_makes_no_sense_is_said_and_the_rest_worked_out(empty: TestClient, query: str, error: str) -> None:
    for headers in ({}, NOW):
        answer = empty.get(f"/cloud-costs?{query}", headers=headers)
        assert answer.status_code == 422
        assert error in answer.text
        assert "At this volume the API is cheaper." in answer.text


def test_the_examples_lead_to_themselves(empty: TestClient) -> None:
    page = empty.get("/cloud-costs").text
    for example in EXAMPLES:
        assert example.query.replace("&", "&amp;") in page
        assert f"{example.calls:,} calls ×" in empty.get(f"/cloud-costs?{example.query}").text


def test_nobody_sees_it_without_signing_in(stranger: TestClient) -> None:
    assert stranger.get("/cloud-costs").status_code == 303


def test_training_is_estimated_for_a_base_and_a_dataset(browser: TestClient, sample: Sample) -> None:
    ready = sample.datasets["ready"]
    for headers in ({}, NOW):
        page = browser.get(f"/cloud-costs?one_off=50&base_model=qwen3-4b&dataset_id={ready}", headers=headers)
        assert page.status_code == 200
        assert re.search(r"\$50\.00 as given \+ \$\d+\.\d\d for training on .+ with .+:", page.text)


@pytest.mark.parametrize(
    ("query", "error"),
    [("base_model=nobody/knows&dataset_id={ready}", "Nobody here knows the measures"), ("base_model=qwen3-4b&dataset_id=none", "dataset"),
     ("base_model=qwen3-4b&dataset_id={unmapped}", "The dataset has no rows yet.")],
)  # fmt: skip
def test_training_that_cannot_be_estimated_is_said(browser: TestClient, sample: Sample, query: str, error: str) -> None:
    answer = browser.get("/cloud-costs?" + query.format(**sample.datasets))
    assert answer.status_code == 422
    assert error in answer.text
    assert "As given: data, training and testing, paid once." in answer.text


def test_training_without_any_device_is_said_too(browser: TestClient, sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Estimates, "targets", lambda *_: [])
    answer = browser.get(f"/cloud-costs?base_model=qwen3-4b&dataset_id={sample.datasets['ready']}")
    assert answer.status_code == 422
    assert "None of the devices whose price is known holds this run." in answer.text


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"one_off": 1e6, "calls": 10**7}, "Your own model costs less in a usual month, but has not paid for itself within 36 months."),
        ({"calls": 0, "hourly": 0, "one_off": 0}, "There is no bill to save."),
        ({"calls": 10**8, "one_off": 10, "prompt_tokens": 10, "answer_tokens": 1, "price_out": 9},
         "Your own model has paid for itself by the end of month 1, in December 2026."),
    ],
)  # fmt: skip
def test_each_end_has_its_sentence(fields: dict[str, float], sentence: str) -> None:
    assert bill(**fields).sentence == sentence


@given(
    st.builds(
        dict, calls=st.integers(0, 10**9), prompt_tokens=st.integers(0, 10**6), answer_tokens=st.integers(0, 10**6),
        price_in=st.floats(0, 1e9), growth_percent=st.floats(-50, 50), one_off=st.floats(0, 1e9), hourly=st.floats(0, 1e9),
        hours=st.floats(1, 730), hosting=st.sampled_from(["own", "rented"]), life_months=st.integers(1, 120), read_rate=st.floats(0.1, 1e8),
        upkeep=st.floats(0, 1e9), machine_price=st.floats(0, 1e9), cached_percent=st.floats(0, 100), months=st.integers(1, 120),
    )
)  # fmt: skip
def test_whatever_may_be_asked_has_an_answer(fields: dict[str, float]) -> None:
    shown = bill(**fields)
    assert shown.sentence
    assert shown.volume
    assert len(shown.figures) == 6
    assert len(shown.rows) == fields["months"]
    assert {curve.css for curve in shown.drawing.curves} == {"api", "own"}
    assert shown.mark is None or 72 <= shown.mark <= 620


def test_where_no_volume_would_do_it_is_said() -> None:
    assert bill(hourly=50.0).volume.startswith("No volume changes that")


@pytest.mark.parametrize(
    ("months", "expected"), [(0, date(2026, 11, 1)), (1, date(2026, 12, 1)), (2, date(2027, 1, 1)), (26, date(2029, 1, 1))]
)
def test_months_roll_over_the_year(months: int, expected: date) -> None:
    assert after(date(2026, 11, 30), months) == expected
