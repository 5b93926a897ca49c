"""A device's memory adds up whatever a worker says, and old workers say nothing."""

from __future__ import annotations

from typing import Any

import pytest

from app.domain.devices import Device, Disk, as_facts, from_facts

GPU = Device(name="NVIDIA L4", kind="gpu", total_bytes=24_000, used_bytes=9_000, ours_bytes=6_000, utilisation=0.8)


def test_devices_travel_with_a_sign_of_life() -> None:
    assert from_facts({"slots": 1} | as_facts([GPU])) == [GPU]


@pytest.mark.parametrize(
    ("used", "ours", "shares"),
    [(9_000, 6_000, (6_000, 3_000, 15_000)), (9_000, None, (0, 9_000, 15_000)), (0, 0, (0, 0, 24_000)),
     (30_000, 26_000, (24_000, 0, 0)), (4_000, 6_000, (4_000, 0, 20_000))],
)  # fmt: skip
def test_what_we_others_and_nobody_hold_is_all_there_is(used: int, ours: int | None, shares: tuple[int, int, int]) -> None:
    device = GPU.model_copy(update={"used_bytes": used, "ours_bytes": ours})
    assert (device.held_by_us, device.held_by_others, device.free) == shares
    assert sum(shares) == device.total_bytes


@pytest.mark.parametrize(
    "facts",
    [{}, {"devices": None}, {"devices": "GPU"}, {"devices": [{"name": "x"}]}, {"devices": [{**GPU.model_dump(), "used_bytes": -1}]}],
)
def test_a_worker_that_tells_nothing_or_nonsense_has_no_devices(facts: dict[str, Any]) -> None:
    assert from_facts(facts) == []


def test_a_machine_travels_with_its_disk_and_one_of_an_older_worker_without() -> None:
    machine = GPU.model_copy(update={"kind": "cpu", "cores": 8, "disk": Disk(total_bytes=100, free_bytes=30)})
    assert from_facts(as_facts([machine])) == [machine]
    assert machine.disk is not None
    assert machine.disk.used == 70
    old = {"name": "CPU", "kind": "cpu", "uuid": None, "total_bytes": 9, "used_bytes": 1, "ours_bytes": 0, "utilisation": None}
    assert [(one.disk, one.temperature_c, one.power_watts) for one in from_facts({"devices": [old]})] == [(None, None, None)]


def test_what_newer_workers_tell_besides_is_passed_over() -> None:
    assert from_facts({"devices": [{**GPU.model_dump(), "watts": 72}]}) == [GPU]
