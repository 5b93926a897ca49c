"""Memory, time, money and energy of a run on devices side by side, and what would make it fit."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.domain.accelerators import ACCELERATORS, CPU
from app.domain.architectures import Architecture
from app.domain.estimates import COUNTS, Target, estimate, fixes, memory_on, rented, side_by_side
from app.domain.figures import in_bytes
from app.domain.packs import Work
from app.domain.prices import PriceTable, Rental
from app.domain.specs import TrainingSettings
from app.domain.time_estimate import Sample, learned, published

SEVEN_B = Architecture.of_size(7e9)
PRICES = PriceTable()
WORK = Work(rows=1000, steps=375, mean_tokens=300, longest_tokens=1024)


def settings(**given: object) -> TrainingSettings:
    return TrainingSettings.model_validate({"epochs": 3, "gradient_checkpointing": 0} | given)


def own(key: str) -> Target:
    card = ACCELERATORS[key]
    return Target(key, card.name, card, 1, None, None, is_own=True)


def test_every_class_at_every_provider_is_told_once_the_cheapest_that_holds_it_first() -> None:
    found = side_by_side(SEVEN_B, settings(tuning="full", optimiser="adamw"), WORK, rented(PRICES), PRICES)
    assert len(found) == 9
    costs = [each.money.amount or 0.0 for each in found if each.memory.fits != "no"]
    assert costs == sorted(costs)
    assert all(each.target.count > 1 for each in found)


def test_fewer_cards_are_not_told_where_they_hold_a_run() -> None:
    found = side_by_side(Architecture.of_size(1e9), settings(tuning="qlora"), WORK, rented(PRICES), PRICES)
    assert {each.target.count for each in found} == {1}


def test_a_card_that_a_provider_rents_out_in_two_ways_is_told_in_both() -> None:
    rents = {"by the hour": ("Vast.ai", 2.0), "by the month": ("vast.AI", 1.0)}
    rentals = tuple(Rental(provider=who, device="h100", label=label, hourly=hourly) for label, (who, hourly) in rents.items())
    prices = PriceTable(rentals=rentals)
    found = side_by_side(Architecture.of_size(1e9), settings(), WORK, rented(prices), prices)
    assert [(each.target.key, each.target.label) for each in found] == [
        ("vast.ai:h100-2:1", "by the month at vast.AI"), ("vast.ai:h100:1", "by the hour at Vast.ai"),
    ]  # fmt: skip
    assert len({each.key for each in rented(prices)}) == 2 * len(COUNTS)


def test_cards_divide_what_is_the_same_for_all_rows() -> None:
    one, eight = (target for target in rented(PRICES) if target.key in {"vast.ai:h100:1", "vast.ai:h100:8"})
    alone, shared = (memory_on(SEVEN_B, settings(tuning="full", optimiser="adamw"), WORK, each) for each in (one, eight))
    optimiser = [next(part.bytes for part in each.parts if part.key == "optimiser") for each in (alone, shared)]
    assert optimiser[1] == pytest.approx(optimiser[0] / 8, abs=1)
    assert shared.fits == "yes"
    assert alone.fits == "no"


def test_what_makes_it_fit_comes_first_and_says_what_it_saves() -> None:
    found = fixes(SEVEN_B, settings(micro_batch_size=8), WORK, own("a100_40"), PRICES)
    first = found[0]
    assert first.then.fits == "yes"
    assert first.same_result
    assert first.label.endswith("same result")
    assert f"saves {in_bytes(first.saves)}, " in first.label
    assert all(each.saves > 0 for each in found)


def test_what_saves_little_says_how_little() -> None:
    found = fixes(Architecture.of_size(1e6), settings(batch_size=1, max_length=16), WORK, own("a100_40"), PRICES)
    assert found
    assert not [each.label for each in found if "saves 0" in each.label]


def test_where_nothing_makes_it_fit_none_pretends_to() -> None:
    found = fixes(Architecture.of_size(70e9), settings(micro_batch_size=8), WORK, own("rtx_3060"), PRICES)
    assert {each.then.fits for each in found} == {"no"}


def test_one_s_own_device_costs_electricity_and_a_rented_one_rent() -> None:
    mine = estimate(SEVEN_B, settings(), WORK, own("rtx_4090"), PRICES)
    assert mine.money.amount == pytest.approx(mine.energy.watt_hours / 1000 * PRICES.price_per_kwh)
    prices = PriceTable(rentals=(Rental(provider="Here", device="rtx_4090", label="a card", hourly=2.0),), setup_hours=0.5)
    theirs = estimate(SEVEN_B, settings(), WORK, rented(prices)[0], prices)
    assert theirs.money.amount == pytest.approx((theirs.time.seconds / 3600 + 0.5) * 2.0)


def test_an_estimate_is_written_with_its_arithmetic() -> None:
    told = estimate(SEVEN_B, settings(), WORK, own("h100"), PRICES).to_json()
    assert {part["key"] for part in told["memory"]["parts"]} >= {"weights", "activations", "margin"}
    for part in ("time", "money", "energy"):
        assert " = " in told[part]["arithmetic"]
        assert "e+" not in told[part]["arithmetic"]
    assert told["device"]["is_own"] is True


def test_float32_takes_longer_and_costs_more_and_is_told() -> None:
    bf16, fp32 = (estimate(SEVEN_B, settings(precision=each), WORK, own("h100"), PRICES) for each in ("bf16", "fp32"))
    assert fp32.time.seconds > 5 * bf16.time.seconds
    assert (fp32.money.amount or 0) > 5 * (bf16.money.amount or 0)
    assert fp32.memory.total > bf16.memory.total
    assert (bf16.numbers, fp32.to_json()["precision"]) == ("bf16", "fp32")
    assert "TFLOP/s in float32 =" in fp32.time.arithmetic


def test_a_run_that_may_choose_takes_float32_where_a_gpu_knows_no_bf16() -> None:
    chosen, said = (estimate(SEVEN_B, settings(precision=each), WORK, own("t4"), PRICES) for each in ("auto", "fp32"))
    assert (chosen.memory, chosen.time) == (said.memory, said.time)
    assert estimate(SEVEN_B, settings(), WORK, own("l4"), PRICES).numbers == "bf16"


def test_full_tuning_in_bf16_computes_in_it_whatever_it_holds_in_float32() -> None:
    assert estimate(SEVEN_B, settings(tuning="full", precision="bf16"), WORK, own("h100"), PRICES).numbers == "bf16"


def test_a_rate_is_the_one_learned_in_this_precision_else_that_of_another_scaled() -> None:
    bf16, fp32 = learned([Sample(5e13, 1)]), learned([Sample(1e13, 1)], "fp32")
    assert replace(own("l4"), learned={"bf16": bf16, "fp32": fp32}).rate("fp32") == fp32
    assert replace(own("l4"), learned={"bf16": bf16}).rate("fp32").flops_per_second < 5e13 / 2
    assert own("l4").rate("fp32") == published(ACCELERATORS["l4"], numbers="fp32")


def test_a_processor_s_runs_that_may_choose_take_the_rate_of_those_that_did() -> None:
    here = Target(
        "cpu", "Processor", CPU._replace(memory_bytes=10**12), 1, None, None, is_own=True, learned={"fp32": learned([Sample(8, 1)], "fp32")}
    )
    assert estimate(SEVEN_B, settings(), WORK, here, PRICES).time.source == "learned from 1 run in float32 on this device"
    assert "× 2 for bf16" in estimate(SEVEN_B, settings(precision="bf16"), WORK, here, PRICES).time.source


def test_a_processor_s_time_is_told_as_widely_as_it_is_unknown() -> None:
    target = Target("cpu", "Processor", CPU._replace(memory_bytes=10**12), 1, None, None, is_own=True)
    time = estimate(Architecture.of_size(6e6), settings(), WORK, target, PRICES).time
    assert time.high / time.low > 5
    assert "assumed peak" in time.source


def test_what_takes_weeks_stands_behind_what_costs_more() -> None:
    slow = Target("cpu", "Processor", CPU._replace(memory_bytes=10**12), 1, None, None, is_own=True)
    found = side_by_side(SEVEN_B, settings(tuning="qlora", epochs=30), WORK, [slow, *rented(PRICES)], PRICES)
    holding = [each for each in found if each.memory.fits != "no"]
    assert holding[-1].target is slow
    assert (holding[-1].money.amount or 0) < (holding[-2].money.amount or 0)


def test_a_small_base_s_runs_say_nothing_of_a_large_one() -> None:
    small = learned([Sample(14e9, 1, 29e6)])
    here = Target("cpu", "Processor", CPU._replace(memory_bytes=10**12), 1, None, None, is_own=True, learned={"bf16": small})
    found = estimate(SEVEN_B, settings(precision="bf16"), WORK, here, PRICES).time
    assert found.source.endswith("no base of like size has run here yet")
    assert found.seconds == pytest.approx(
        estimate(SEVEN_B, settings(precision="bf16"), WORK, replace(here, learned={}), PRICES).time.seconds
    )


def test_what_does_not_help_a_base_is_not_offered_and_shorter_rows_are() -> None:
    experts = Architecture.from_config({
        "model_type": "gpt_oss", "num_hidden_layers": 4, "hidden_size": 256, "intermediate_size": 256, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 64, "vocab_size": 1000, "num_local_experts": 32, "num_experts_per_tok": 4,
    })  # fmt: skip
    target = rented(PriceTable())[0]
    work = Work(rows=1000, steps=100, mean_tokens=600.0, longest_tokens=1024)
    offered = {fix.key: fix for fix in fixes(experts, TrainingSettings(), work, target, PriceTable())}
    assert "tuning" not in offered
    assert offered["max_length"].settings == {"max_length": 512}
    assert offered["max_length"].saves > 0
    plain = {fix.key for fix in fixes(Architecture.of_size(7e9), TrainingSettings(), work, target, PriceTable())}
    assert {"tuning", "max_length"} <= plain
    one = TrainingSettings(micro_batch_size=1)
    assert "both" not in {fix.key for fix in fixes(Architecture.of_size(7e9), one, work, target, PriceTable())}
