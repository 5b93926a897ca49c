"""Estimates written out for scripts, where there is little to estimate on."""

from __future__ import annotations

from app.domain.architectures import Architecture
from app.domain.memory_estimate import Work
from app.domain.prices import PriceTable
from app.domain.quotes import NO_DEVICE, Quote
from app.domain.specs import TrainingSettings

WORK = Work(rows=1000, steps=375, mean_tokens=300, longest_tokens=1024)


def test_without_any_device_memory_is_told_and_no_cost() -> None:
    arch, settings = Architecture.of_size(7e9), TrainingSettings(epochs=1)
    told = Quote.of(model="7B", arch=arch, settings=settings, work=WORK, estimates=[], prices=PriceTable(rentals=()))
    assert (told.memory_bytes.device, told.memory_bytes.fits) == (NO_DEVICE, "unknown")
    assert told.memory_bytes.total == sum(part.bytes for part in told.memory_bytes.parts) > 14e9
    assert (told.devices, told.cost_usd.cheapest, told.cost_usd.device) == ([], None, None)
