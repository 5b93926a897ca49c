"""Estimates written out for scripts, where there is little to estimate on."""

from __future__ import annotations

from app.domain.accelerators import processor
from app.domain.architectures import Architecture
from app.domain.estimates import Target, rented, side_by_side
from app.domain.packs import Work
from app.domain.prices import PriceTable, Rental
from app.domain.quotes import NO_DEVICE, Quote
from app.domain.specs import TrainingSettings

WORK = Work(rows=1000, steps=375, mean_tokens=300, longest_tokens=1024)


def test_without_any_device_memory_is_told_and_no_cost() -> None:
    arch, settings = Architecture.of_size(7e9), TrainingSettings(epochs=1)
    told = Quote.of(model="7B", arch=arch, settings=settings, work=WORK, estimates=[], prices=PriceTable(rentals=()))
    assert (told.memory_bytes.device, told.memory_bytes.fits) == (NO_DEVICE, "unknown")
    assert told.memory_bytes.total == sum(part.bytes for part in told.memory_bytes.parts) > 14e9
    assert (told.devices, told.cost_usd.cheapest, told.cost_usd.device) == ([], None, None)


def test_memory_is_told_for_the_device_that_heads_the_list() -> None:
    own = Target("own:cpu", "This machine's processor", processor(8, 32 * 10**9), 1, None, None, is_own=True)
    told = quoted(Architecture.of_size(7e6), own)
    assert told.devices[0].key == "own:cpu"
    assert (told.memory_bytes.device, told.memory_bytes.total) == (told.devices[0].name, told.devices[0].memory_bytes)


def test_no_device_that_does_not_hold_a_run_has_a_cost_among_the_dollars() -> None:
    own = Target("own:cpu", "This machine's processor", processor(8, 2 * 10**9), 1, None, None, is_own=True)
    told = quoted(Architecture.of_size(7e9), own)
    assert told.cost_usd.by_device["own:cpu"] is None
    assert told.cost_usd.cheapest == min(cost for cost in told.cost_usd.by_device.values() if cost is not None)


def quoted(arch: Architecture, own: Target) -> Quote:
    settings, prices = TrainingSettings(epochs=1), PriceTable()
    found = side_by_side(arch, settings, WORK, [own, *rented(prices)], prices)
    return Quote.of(model="some", arch=arch, settings=settings, work=WORK, estimates=found, prices=prices)


def test_the_cheapest_is_what_is_done_within_a_week_or_else_what_holds_the_run() -> None:
    slow = Rental(provider="Slow", device="rtx_3060", label="old card", hourly=0.001)
    fast = Rental(provider="Fast", device="h100", label="new card", hourly=10)
    arch, settings, prices = Architecture.of_size(1e9), TrainingSettings(), PriceTable(rentals=(slow, fast))
    long = WORK.model_copy(update={"rows": 1_000_000, "steps": 375_000})
    for offered, device in (((slow, fast), "fast:h100:1"), ((slow,), "slow:rtx_3060:1")):
        found = side_by_side(arch, settings, long, rented(PriceTable(rentals=offered)), prices)
        told = Quote.of(model="some", arch=arch, settings=settings, work=long, estimates=found, prices=prices)
        costs = told.cost_usd.by_device
        assert (told.cost_usd.device, told.cost_usd.cheapest) == (device, costs[device])
    assert next(each.seconds for each in told.devices if each.key == device) > 7 * 86_400
