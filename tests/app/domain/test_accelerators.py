"""Devices by the names that drivers give them."""

from __future__ import annotations

import pytest

from app.domain.accelerators import ACCELERATORS, CORE_FLOPS, RENTED, accelerator_named, of_device
from app.domain.devices import Device


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("NVIDIA H100 80GB HBM3", "h100"), ("NVIDIA H100 PCIe", "h100_pcie"), ("NVIDIA A100-SXM4-80GB", "a100_80"),
        ("NVIDIA A100-PCIE-40GB", "a100_40"), ("NVIDIA H200", "h200"), ("NVIDIA GeForce RTX 4090", "rtx_4090"),
        ("NVIDIA RTX 6000 Ada Generation", "rtx_6000_ada"), ("NVIDIA GeForce RTX 4060 Ti", "rtx_4060_ti"), ("Tesla T4", "t4"),
        ("NVIDIA L4", "l4"), ("NVIDIA L40S", "l40s"), ("Tesla V100-SXM2-16GB", "v100_16"), ("NVIDIA A10G", "a10g"),
    ],
)  # fmt: skip
def test_a_driver_s_name_finds_its_card(name: str, key: str) -> None:
    found = accelerator_named(name)
    assert found is not None
    assert found.key == key


@pytest.mark.parametrize("name", ["NVIDIA GeForce RTX 4090 Laptop GPU", "NVIDIA GeForce RTX 3080 Ti", "AMD Instinct MI300X", ""])
def test_another_card_of_a_like_name_is_not_taken_for_it(name: str) -> None:
    assert accelerator_named(name) is None


def device(name: str, kind: str, total: int) -> Device:
    return Device.model_validate({"name": name, "kind": kind, "total_bytes": total, "used_bytes": 0})


def test_a_device_has_the_memory_it_reports() -> None:
    found = of_device(device("NVIDIA L4", "gpu", 24_000_000_000))
    assert (found.memory_bytes, found.bf16_flops, found.is_exact) == (24_000_000_000, 121e12, True)


@pytest.mark.parametrize(("part", "share"), [("1g.18gb", 1 / 7), ("3g.71gb", 3 / 7), ("1c.3g.71gb", 1 / 7), ("7g.141gb", 1.0)])
def test_a_part_of_a_gpu_has_its_slices_alone(part: str, share: float) -> None:
    whole, found = (of_device(device(f"NVIDIA H200{more}", "gpu", 18_000_000_000)) for more in ("", f" MIG {part}"))
    assert found.bf16_flops == pytest.approx(whole.bf16_flops * share)
    assert found.fp32_flops == pytest.approx(whole.fp32_flops * share)
    assert found.watts == pytest.approx(whole.watts * share)
    assert (whole.is_exact, found.is_exact, found.memory_bytes) == (True, False, 18_000_000_000)
    assert of_device(device("NVIDIA A30 MIG 2g.12gb", "gpu", 12_000_000_000)).bf16_flops == pytest.approx(82.5e12)


def test_float32_is_slower_on_all_but_those_that_know_no_bf16() -> None:
    assert ACCELERATORS["h100"].peak("fp32") == 67e12
    assert {key for key, each in ACCELERATORS.items() if not each.knows_bf16} == {"t4", "v100_16", "v100_32"}


def test_what_nobody_knows_is_said_to_be_derived() -> None:
    gpu, processor = of_device(device("Some GPU", "gpu", 10_000_000_000)), of_device(device("x86", "cpu", 8_000_000_000))
    assert (gpu.is_exact, processor.is_exact) == (False, False)
    assert (gpu.kind, processor.kind) == ("gpu", "cpu")
    assert gpu.bf16_flops == pytest.approx(36e12)
    assert gpu.fp32_flops == pytest.approx(9e12)
    assert processor.fp32_flops == processor.bf16_flops / 2


def test_the_rented_classes_are_cards_of_the_table() -> None:
    assert [ACCELERATORS[key].memory_bytes // 10**9 for key in RENTED.values()] == [25, 85, 85]


def test_a_processor_does_as_much_as_its_cores() -> None:
    assert of_device(device("CPU, 16 cores", "cpu", 10**9)).bf16_flops == 16 * CORE_FLOPS
