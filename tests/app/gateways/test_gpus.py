"""Which GPUs are found, hidden and named, by what the driver's tool prints."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from app.gateways import gpus
from app.gateways.gpus import Gpu, NoSuchGpu, all_gpus, gpus_named, memory_of, visible_gpus
from tests.driver import driver

__all__ = ["driver"]
IN_PARTS = """GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-0aa)
  MIG 3g.40gb     Device  0: (UUID: MIG-5cc)
  MIG 1g.10gb     Device  1: (UUID: MIG-6dd)
GPU 1: NVIDIA T4 (UUID: GPU-1bb)
"""


def test_all_are_found_with_their_names(driver: Path) -> None:
    assert driver.is_file()
    assert [(gpu.index, gpu.uuid, gpu.name) for gpu in visible_gpus()] == [(0, "GPU-0aa", "NVIDIA L4"), (1, "GPU-1bb", "NVIDIA T4")]


@pytest.mark.parametrize(
    ("visible", "uuids"),
    [
        ("1", ["GPU-1bb"]), ("1,0", ["GPU-1bb", "GPU-0aa"]), (" 0 ", ["GPU-0aa"]), ("GPU-0", ["GPU-0aa"]),
        ("", []), ("-1", []), ("7,0", []), ("1,7,0", ["GPU-1bb"]),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("driver")
def test_what_is_hidden_is_not_used(monkeypatch: pytest.MonkeyPatch, visible: str, uuids: list[str]) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [gpu.uuid for gpu in visible_gpus()] == uuids


def test_a_gpu_in_parts_is_its_parts(driver: Path) -> None:
    driver.write_text(IN_PARTS)
    assert [(gpu.uuid, gpu.name) for gpu in all_gpus()] == [
        ("MIG-5cc", "NVIDIA H100 80GB HBM3 MIG 3g.40gb"),
        ("MIG-6dd", "NVIDIA H100 80GB HBM3 MIG 1g.10gb"),
        ("GPU-1bb", "NVIDIA T4"),
    ]


@pytest.mark.usefixtures("driver")
def test_a_named_gpu_is_found_once() -> None:
    assert [gpu.uuid for gpu in gpus_named("1, GPU-0,1")] == ["GPU-1bb", "GPU-0aa"]


@pytest.mark.usefixtures("driver")
def test_a_name_that_is_none_is_answered_with_those_there_are() -> None:
    with pytest.raises(NoSuchGpu, match=r"no GPU '2' here; there are: 0 \(NVIDIA L4, GPU-0aa\), 1 \(NVIDIA T4, GPU-1bb\)"):
        gpus_named("0,2")


def test_without_a_driver_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert all_gpus() == []


def test_memory_is_what_the_driver_tells_and_of_a_part_what_its_name_says(driver: Path) -> None:
    assert [memory_of(gpu) for gpu in all_gpus()] == [23_034 * 2**20, 15_360 * 2**20]
    driver.write_text(IN_PARTS)
    assert [memory_of(gpu) for gpu in all_gpus()] == [40 * 10**9, 10 * 10**9, 15_360 * 2**20]


@pytest.mark.parametrize("said", ["[N/A]\n", ""])
def test_memory_that_the_driver_does_not_tell_is_not_known(driver: Path, said: str) -> None:
    driver.with_name("GPU-0aa").write_text(said)
    assert memory_of(Gpu(0, "GPU-0aa", "NVIDIA GB10")) is None


@pytest.mark.parametrize(
    ("broken", "word"),
    [("echo Driver/library version mismatch; exit 18", "version mismatch"), ("exec sleep 60", "timed out")],
)
def test_a_driver_that_fails_or_hangs_is_none_and_that_is_logged(
    driver: Path, monkeypatch: pytest.MonkeyPatch, broken: str, word: str
) -> None:
    monkeypatch.setattr(gpus, "ASK_SECONDS", 0.2 if "sleep" in broken else 20)
    driver.with_name("nvidia-smi").write_text(f"#!/bin/sh\n{broken}\n")
    with capture_logs() as logged:
        assert all_gpus() == []
    [line] = logged
    assert line["log_level"] == "warning"
    assert word in line["error"]
