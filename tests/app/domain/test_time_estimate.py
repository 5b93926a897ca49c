"""Operations of a run, the rates of devices, and the time that comes of both."""

from __future__ import annotations

import pytest

from app.domain.accelerators import ACCELERATORS, CPU
from app.domain.architectures import Architecture
from app.domain.beside_steps import ON_CPU, ON_GPU
from app.domain.memory_estimate import MemoryEstimate
from app.domain.packs import Work
from app.domain.specs import TrainingSettings
from app.domain.time_estimate import Sample, estimate_time, flops, for_size, in_another, learned, published, tokens_of

ARCH = Architecture.of_size(7e9)
WORK = Work(rows=1000, steps=375, mean_tokens=300, longest_tokens=1024, trained_share=1.0)


def laid_out(twice: int = 0, micro: int = 8) -> MemoryEstimate:
    return MemoryEstimate((), 0, 0, 0, None, "unknown", micro, twice)


def settings(**given: object) -> TrainingSettings:
    return TrainingSettings.model_validate({"epochs": 3} | given)


def test_full_tuning_takes_six_operations_for_each_weight_and_an_adapter_four() -> None:
    weights = ARCH.computed_parameters
    full = flops(ARCH, settings(tuning="full"), WORK, laid_out()).per_token
    lora = flops(ARCH, settings(rank=1), WORK, laid_out()).per_token
    assert full / weights == pytest.approx(6, rel=0.05)
    assert lora / weights == pytest.approx(4, rel=0.05)


def test_layers_computed_twice_cost_their_way_forward_again() -> None:
    once, twice = (flops(ARCH, settings(), WORK, laid_out(many)).per_token for many in (0, ARCH.layers))
    assert (twice - once) / ARCH.computed_parameters == pytest.approx(2, rel=0.1)


def test_shared_beginnings_are_computed_once_and_steps_end_a_run() -> None:
    assert tokens_of(settings(), WORK) == 3000 * 300
    assert tokens_of(settings(), WORK.model_copy(update={"computed_share": 0.5})) == 3000 * 150
    assert tokens_of(settings(max_steps=10, batch_size=4), WORK.model_copy(update={"steps": 10})) == 40 * 300


def test_checks_on_held_out_rows_are_counted() -> None:
    plain, checked = (flops(ARCH, settings(), WORK.model_copy(update={"eval_rows": rows}), laid_out()).total for rows in (0, 100))
    assert checked > plain


def test_past_runs_say_how_fast_a_device_is() -> None:
    rate = learned([Sample(100, 10), Sample(120, 10), Sample(90, 10)])
    assert (rate.flops_per_second, rate.samples) == (10.0, 3)
    assert rate.low <= 9.0
    assert rate.high >= 12.0
    assert "learned from 3 runs in bf16" in rate.source
    assert learned([Sample(100, 10)]).low < 10


def test_a_data_sheet_s_rate_says_which_share_of_it_is_reached() -> None:
    rate = published(ACCELERATORS["h100"])
    assert rate.low < rate.flops_per_second < rate.high <= 989e12
    assert rate.source.startswith("31 % of 989 TFLOP/s, its bf16 peak")


def test_float32_is_computed_without_tensor_cores() -> None:
    rate = published(ACCELERATORS["l4"], numbers="fp32")
    assert rate.flops_per_second == pytest.approx(0.45 * 30.3e12)
    assert rate.source == "45 % of 30.3 TFLOP/s, its float32 peak by the data sheet"
    assert published(CPU, numbers="fp32").flops_per_second == published(CPU).flops_per_second / 2


def test_a_card_without_units_for_bf16_computes_it_in_float32() -> None:
    assert published(ACCELERATORS["t4"], numbers="bf16") == published(ACCELERATORS["t4"], numbers="fp32")


def test_cards_that_wait_for_each_other_hand_on_float32_half_as_fast() -> None:
    half, whole = (published(ACCELERATORS["h100"], 2, numbers) for numbers in ("fp32", "bf16"))
    assert half.flops_per_second == pytest.approx(whole.flops_per_second / 2)
    assert half.high < whole.high / 2


def test_what_was_learned_in_one_precision_is_scaled_for_another_and_told_more_widely() -> None:
    l4 = ACCELERATORS["l4"]
    known = learned([Sample(40e12, 1)])
    rate = in_another(known, l4, "fp32")
    ratio = 0.45 * 30.3 / (0.31 * 121)
    assert rate.flops_per_second == pytest.approx(40e12 * ratio)
    assert (rate.low, rate.high) == pytest.approx((known.low * ratio / 2, known.high * ratio * 2))
    assert rate.source.endswith("in bf16 on this device, × 0.364 for float32, in which no run here has shown a rate")
    assert in_another(rate, l4, "bf16").flops_per_second == pytest.approx(40e12)


def test_time_is_operations_over_the_rate_and_what_comes_before() -> None:
    needed, rate = flops(ARCH, settings(), WORK, laid_out()), published(ACCELERATORS["h100"])
    time = estimate_time(needed, rate, ON_GPU)
    assert time.seconds == pytest.approx(60 + needed.total / rate.flops_per_second)
    assert time.low < time.seconds < time.high
    assert estimate_time(needed, rate, ON_GPU, count=2).seconds - 60 == pytest.approx((time.seconds - 60) / 2)


def test_a_tiny_model_waits_for_the_driver() -> None:
    tiny = Architecture.of_size(6e6)
    needed = flops(tiny, settings(), WORK, laid_out(micro=1))
    assert needed.passes == 375 * 8 * tiny.layers
    assert estimate_time(needed, published(ACCELERATORS["h100"]), ON_GPU).seconds == pytest.approx(60 + needed.passes / 1000)


def test_runs_count_for_bases_of_like_size_alone() -> None:
    known = learned([Sample(14e9, 1, 29e6), Sample(120e9, 1, 520e6)])
    assert for_size(known, 523e6) == learned([Sample(120e9, 1, 520e6)], distance=523 / 520)
    assert (found := for_size(known, 29e6)) is not None
    assert (found.flops_per_second, found.samples) == (14e9, 1)
    assert for_size(known, 29e6 * 4.5 * 4.5 * 8) is None


def test_what_few_runs_of_a_somewhat_other_size_have_shown_is_told_more_widely() -> None:
    one, far = (for_size(learned([Sample(1e11, 1, 1e8)]), per_token) for per_token in (1e8, 4e8))
    many = for_size(learned([Sample(1e11, 1, 1e8)] * 20), 1e8)
    assert one is not None
    assert far is not None
    assert many is not None
    assert (one.high, far.high, many.high) == pytest.approx((2e11, 4e11, 1.24e11))
    assert far.low < one.low < many.low


def test_a_run_that_may_have_spent_its_time_on_answers_may_be_far_faster() -> None:
    rate = learned([Sample(1.2e12, 105, 3e7, least_seconds=23)])
    assert rate.flops_per_second == 1.2e12 / 105
    assert (rate.low, rate.high) == pytest.approx((1.2e12 / 210, 1.2e12 / 23))


def test_a_learned_rate_has_what_beginning_a_layer_costs_in_it() -> None:
    needed = flops(ARCH, settings(), WORK, laid_out())
    fresh = published(CPU)
    seen = learned([Sample(fresh.flops_per_second, 1)])
    more = estimate_time(needed, fresh, ON_CPU).seconds - estimate_time(needed, seen, ON_CPU).seconds
    assert more == pytest.approx(needed.passes * ON_CPU.layer.likely)
