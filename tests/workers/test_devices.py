"""What a worker sees of its devices: with a driver, without one, and with one that fails."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace as Some
from typing import Any

import psutil
import pytest

from app.domain.devices import Device
from tests.waiting import until
from workers import devices
from workers.devices import DeviceWatch, process_tree, processor_name, read_gpu, read_machine

HERE = os.getpid()
GIB = 2**30


class Driver:
    """NVML with two GPUs, as the library shows it."""

    nvmlMemory_v2 = 2  # noqa: N815 - the library's own name
    NVML_TEMPERATURE_GPU = 0

    class NVMLError(Exception):
        """Whatever goes wrong."""

    def __init__(self, *broken: str, processes: list[Any] | None = None) -> None:
        self.broken, self.is_open, self.celsius = broken, False, 58
        self.processes = [Some(pid=HERE, usedGpuMemory=6 * GIB)] if processes is None else processes

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("nvml"):
            raise AttributeError(name)
        if name in self.broken:
            return self._fail
        return {
            "nvmlInit": lambda: setattr(self, "is_open", True),
            "nvmlShutdown": lambda: setattr(self, "is_open", False),
            "nvmlDeviceGetName": lambda handle: ("NVIDIA L4", b"NVIDIA T4")[handle],
            "nvmlDeviceGetHandleByUUID": ("GPU-0aa", "GPU-1bb").index,
            "nvmlDeviceGetMemoryInfo": self._memory,
            "nvmlDeviceGetComputeRunningProcesses": lambda _: self.processes,
            "nvmlDeviceGetUtilizationRates": lambda _: Some(gpu=80),
            "nvmlDeviceGetTemperature": lambda _handle, _sensor: self.celsius,
            "nvmlDeviceGetPowerUsage": lambda _: 61_250,
            "nvmlDeviceGetEnforcedPowerLimit": lambda _: 72_000,
        }[name]

    def _fail(self, *_: Any) -> Any:
        raise self.NVMLError

    def _memory(self, _handle: int, version: int | None = None) -> Any:
        if version and "v2" in self.broken:
            raise self.NVMLError
        return Some(total=24 * GIB, used=(9 if version else 10) * GIB, reserved=1 * GIB)


def seen(uuid: str, driver: Driver) -> Device:
    device = read_gpu(uuid, {HERE}, driver)
    assert device is not None
    return device


def test_a_gpu_tells_whose_its_memory_is() -> None:
    driver = Driver()
    memory = {"total_bytes": 23 * GIB, "used_bytes": 9 * GIB, "ours_bytes": 6 * GIB}
    whole = Device(
        name="NVIDIA L4", kind="gpu", uuid="GPU-0aa", utilisation=0.8, temperature_c=58, power_watts=61.25, power_limit_watts=72, **memory
    )
    assert seen("GPU-0aa", driver) == whole
    assert not driver.is_open


def test_a_worker_sees_its_own_gpu_and_no_other() -> None:
    assert seen("GPU-1bb", Driver()).name == "NVIDIA T4"


def test_an_older_driver_counts_what_it_keeps_for_itself_as_used() -> None:
    device = seen("GPU-0aa", Driver("v2"))
    assert (device.total_bytes, device.used_bytes) == (24 * GIB, 10 * GIB)


@pytest.mark.parametrize("broken", ["nvmlInit", "nvmlDeviceGetName", "nvmlDeviceGetHandleByUUID"])
def test_a_driver_that_fails_is_no_gpu_and_no_error(broken: str) -> None:
    driver = Driver(broken)
    assert read_gpu("GPU-0aa", {HERE}, driver) is None
    assert not driver.is_open


def test_without_a_driver_the_real_library_finds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    import pynvml

    def no_library() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", no_library)
    assert read_gpu("GPU-0aa", {HERE}) is None


@pytest.mark.parametrize(
    ("driver", "ours"),
    [
        (Driver("nvmlDeviceGetComputeRunningProcesses"), None),
        (Driver(processes=[Some(pid=HERE, usedGpuMemory=None)]), None),
        (Driver(processes=[Some(pid=2**22 + 7, usedGpuMemory=GIB)]), None),
        (Driver(processes=[Some(pid=1, usedGpuMemory=GIB)]), 0),
        (Driver(processes=[]), 0),
    ],
)
def test_where_the_driver_does_not_say_whose_memory_it_is_nothing_is_claimed(driver: Driver, ours: int | None) -> None:
    assert seen("GPU-0aa", driver).ours_bytes == ours


def test_a_gpu_that_nobody_counts_the_work_of_has_no_figure_for_it() -> None:
    assert seen("GPU-0aa", Driver("nvmlDeviceGetUtilizationRates")).utilisation is None


@pytest.mark.parametrize(
    ("call", "field"),
    [("nvmlDeviceGetTemperature", "temperature_c"), ("nvmlDeviceGetPowerUsage", "power_watts"),
     ("nvmlDeviceGetEnforcedPowerLimit", "power_limit_watts")],
)  # fmt: skip
def test_what_a_driver_does_not_say_of_heat_and_power_is_left_out(call: str, field: str) -> None:
    device = seen("GPU-0aa", Driver(call))
    assert getattr(device, field) is None
    assert device.used_bytes == 9 * GIB


def test_a_temperature_that_is_none_is_left_out() -> None:
    driver = Driver()
    driver.celsius = 2**31
    assert seen("GPU-0aa", driver).temperature_c is None


@pytest.mark.parametrize(
    ("listing", "name"),
    [
        ("processor : 0\nmodel name\t: Intel(R) Xeon(R) CPU @ 2.20GHz\nprocessor : 1\nmodel name : other\n", "Intel Xeon"),
        ("model name : AMD EPYC 7B13\n", "AMD EPYC 7B13"),
        ("model name : AMD Ryzen 9 7950X 16-Core Processor\n", "AMD Ryzen 9 7950X 16-Core"),
    ],
)
def test_a_processor_is_called_what_it_says_on_it(tmp_path: Path, listing: str, name: str) -> None:
    (tmp_path / "cpuinfo").write_text(listing)
    assert processor_name(tmp_path / "cpuinfo") == name


def test_a_processor_without_a_name_is_called_by_its_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.processor", lambda: "")
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert processor_name(tmp_path / "nothing") == "aarch64"


def test_the_machine_tells_of_the_disk_its_runs_are_on(tmp_path: Path) -> None:
    machine = read_machine((), tmp_path)
    assert machine.disk is not None
    assert 0 <= machine.disk.free_bytes <= machine.disk.total_bytes
    assert machine.cores == os.cpu_count()
    assert read_machine((), tmp_path / "nowhere").disk is None


def test_the_machine_tells_what_this_process_and_its_children_hold() -> None:
    with subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE) as child:
        mine = process_tree()
        assert {HERE, child.pid} <= mine
        machine = read_machine(mine)
        assert child.stdin is not None
        child.stdin.close()
    assert machine.kind == "cpu"
    assert psutil.Process().memory_info().rss / 2 < (machine.ours_bytes or 0) < machine.total_bytes


def test_a_process_that_has_just_ended_holds_nothing() -> None:
    assert read_machine({2**22 + 7}).ours_bytes == 0


def test_a_container_with_part_of_a_machine_has_only_that_part(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text(f"{GIB}\n")
    (tmp_path / "memory.current").write_text(f"{GIB // 2}\n")
    (tmp_path / "memory.stat").write_text(f"anon 5\ninactive_file {GIB // 4}\n")
    assert devices._machine_memory(tmp_path) == (GIB, GIB // 4)
    (tmp_path / "memory.max").write_text("max\n")
    assert devices._machine_memory(tmp_path)[0] == psutil.virtual_memory().total


def test_the_watch_looks_until_the_worker_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "LOOK_SECONDS", 0.01)
    looks: list[int] = []

    def look(_: DeviceWatch) -> list[Device]:
        looks.append(1)
        if len(looks) == 1:
            raise OSError
        return [read_machine(())]

    monkeypatch.setattr(DeviceWatch, "look", look)
    watch, leaving = DeviceWatch(None), threading.Event()
    watch.start(leaving)
    until(lambda: watch.latest)
    leaving.set()
    assert [device.kind for device in watch.latest] == ["cpu"]
