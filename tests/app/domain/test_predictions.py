"""Predicted against measured, and what runs have shown of their devices."""

from __future__ import annotations

from typing import Any

import pytest

from app.domain.predictions import WINDOW, Compared, Foretold, Shown, accuracy, computed, learned_of, running
from app.domain.time_estimate import LEARNED_FROM, Sample, for_size

KEPT: dict[str, Any] = {
    "device": {"name": "NVIDIA L4", "kind": "gpu"},
    "memory": {
        "total": 10_000,
        "low": 8_000,
        "high": 13_000,
        "parts": [{"key": "context", "bytes": 1_000, "low": 500, "high": 2_000}, {"key": "weights", "bytes": 9_000}],
    },
    "time": {"seconds": 100.0, "low": 80.0, "high": 150.0},
    "money": {"amount": 2.0, "low": 1.6, "high": 3.0},
}


def foretold(**changes: Any) -> Foretold:
    found = Foretold.of(KEPT | changes)
    assert found
    return found


def test_an_error_is_the_share_by_which_a_prediction_was_too_high() -> None:
    assert Compared(110, 90, 120, 100).error == pytest.approx(0.1)
    assert Compared(90, 90, 120, 100).error == pytest.approx(-0.1)
    assert (Compared(110, 90, 120, 100).is_within, Compared(110, 105, 120, 100).is_within) == (True, False)


def test_of_a_gpu_what_torch_allocates_is_compared() -> None:
    assert foretold().compare_memory(9_500) == Compared(9_000, 7_500, 11_000, 9_500)
    cpu = foretold(device={"name": "CPU, 2 cores", "kind": "cpu"})
    assert cpu.compare_memory(9_500) == Compared(10_000, 8_000, 13_000, 9_500)


def test_money_is_compared_at_the_price_that_was_assumed() -> None:
    assert foretold().compare_money(50.0) == Compared(2.0, 1.6, 3.0, 1.0)
    assert foretold(money={"amount": None}).compare_money(50.0) is None


def test_what_was_not_measured_or_not_foretold_is_not_compared() -> None:
    assert foretold().compare_time(0.0) is None
    assert Foretold.of({}) is None
    assert Foretold.of({"memory": "much"}) is None


def test_accuracy_counts_what_can_be_compared() -> None:
    found = accuracy([Compared(110, 90, 120, 100), None, Compared(50, 40, 60, 100), Compared(100, 90, 120, 100)])
    assert (found.runs, found.within) == (3, 2)
    assert [found.median_error, found.worst_error] == pytest.approx([0.1, 0.5])
    assert accuracy([]) == (0, None, None, 0)


def test_the_running_error_is_a_median_of_the_newest() -> None:
    off = [Compared(200, 0, 0, 100)] * WINDOW + [Compared(110, 0, 0, 100)] * WINDOW
    found = running(off)
    assert [found[0], found[WINDOW - 1], found[-1]] == pytest.approx([1.0, 1.0, 0.1])
    assert running([]) == []


def test_a_device_is_learned_from_its_newest_runs() -> None:
    old, new = Shown("L4", Sample(1e12, 10.0), 40.0, "bf16"), Shown("L4", Sample(4e12, 10.0), 20.0, "bf16")
    found = learned_of([new] * LEARNED_FROM + [old] * LEARNED_FROM + [Shown("CPU", Sample(1e12, 100.0), 5.0, "fp32")])
    rate = found["L4"].rates["bf16"]
    assert rate.flops_per_second == 4e11
    assert (rate.samples, found["L4"].startup) == (LEARNED_FROM, (20.0, 10.0, 40.0))
    assert rate.source == f"learned from {LEARNED_FROM} runs in bf16 on this device"
    assert found["CPU"].rates["fp32"].flops_per_second == 1e10


def test_each_precision_has_a_rate_of_its_own() -> None:
    shown = [Shown("L4", Sample(4e12, 10.0), 20.0, "bf16"), Shown("L4", Sample(1e12, 10.0), 20.0, "fp32")]
    rates = learned_of(shown)["L4"].rates
    assert {name: rate.flops_per_second for name, rate in rates.items()} == {"bf16": 4e11, "fp32": 1e11}
    assert rates["fp32"].source == "learned from 1 run in float32 on this device"


def test_nothing_is_learned_from_runs_without_operations_or_time() -> None:
    assert learned_of([Shown("L4", Sample(0.0, 10.0), 1.0, "bf16"), Shown("L4", Sample(1e12, 0.0), 1.0, "bf16")]) == {}


def test_newer_runs_of_another_size_take_nothing_from_what_is_known_of_this_one() -> None:
    small, large = Shown("CPU", Sample(14e9, 1.0, 29e6), 2.0, "bf16"), Shown("CPU", Sample(120e9, 1.0, 523e6), 2.0, "bf16")
    found = for_size(learned_of([small] * LEARNED_FROM + [large])["CPU"].rates["bf16"], 523e6)
    assert found is not None
    assert (found.flops_per_second, found.samples) == (120e9, 1)


def test_the_answers_of_checks_are_no_time_of_steps() -> None:
    assert computed(100.0, 30.0) == 70.0
    assert computed(100.0, 99.0) == pytest.approx(20.0)


def test_a_start_is_told_as_widely_as_trainers_at_hand_and_cold_ones_differ() -> None:
    [found] = learned_of([Shown("CPU", Sample(1e12, 9.0), each, "bf16") for each in (1.0, 1.8, 2.0)]).values()
    assert found.startup == (1.8, 0.5, 15.0)
