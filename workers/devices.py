"""What a worker sees of its devices: the GPUs' memory, heat and power through NVML, the machine's memory and disk through psutil.

Looked at in a thread of its own: a driver that hangs must not keep a worker from giving its sign of life.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import threading
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pynvml
import structlog

from app.domain.devices import Device, Disk

if TYPE_CHECKING:
    from collections.abc import Collection

log = structlog.get_logger()
LOOK_SECONDS = 4.0
CONTROL_GROUP = Path("/sys/fs/cgroup")
PROCESSORS = Path("/proc/cpuinfo")
MILLI = 1000
COLDEST, HOTTEST = -50, 200
"""In °C: what a driver says beyond these is no temperature."""
MOST_WATTS = 100_000


def process_tree() -> set[int]:
    """Return this process and everything it has started."""
    this = psutil.Process()
    return {this.pid, *(child.pid for child in this.children(recursive=True))}


def read_machine(mine: Collection[int], home: Path | None = None) -> Device:
    """Return the machine's processor and memory, and the disk that `home` is on."""
    total, used = _machine_memory()
    return Device(
        name=f"CPU, {os.cpu_count()} cores", kind="cpu", total_bytes=total, used_bytes=used,
        ours_bytes=sum(map(_resident_bytes, mine)), utilisation=min(1.0, psutil.cpu_percent() / 100),
        processor=processor_name(), cores=os.cpu_count(), disk=_disk(home) if home else None,
    )  # fmt: skip


@cache
def processor_name(listing: Path = PROCESSORS) -> str | None:
    """Return what the processor is called, without marks and clock; where the system has no such list, its kind; None if nobody says."""
    try:
        named = re.search(r"^model name\s*:\s*(.+)$", listing.read_text("utf-8", "replace"), re.MULTILINE)
    except OSError:
        named = None
    said = named[1] if named else platform.processor() or platform.machine()
    return " ".join(re.sub(r"\((?:R|TM|C)\)|\bCPU\b|\bProcessor\b|@.*$", " ", said, flags=re.IGNORECASE).split())[:200] or None


def _disk(home: Path) -> Disk | None:
    try:
        usage = shutil.disk_usage(home)
    except OSError:
        return None
    return Disk(total_bytes=usage.total, free_bytes=usage.free)


def _machine_memory(group: Path = CONTROL_GROUP) -> tuple[int, int]:
    """Return how much memory there is and is used; in a container that may have only part of the machine's, of that part."""
    memory = psutil.virtual_memory()
    try:
        limit = int((group / "memory.max").read_text("ascii"))
        kept = dict(line.split() for line in (group / "memory.stat").read_text("ascii").splitlines())
        # What it read from files is given up as soon as anybody wants memory.
        used = int((group / "memory.current").read_text("ascii")) - int(kept["inactive_file"])
    except (OSError, ValueError, KeyError):
        return memory.total, memory.total - memory.available  # no container, or one without a limit ("max")
    return min(limit, memory.total), max(0, used)


def _resident_bytes(pid: int) -> int:
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0  # it has just ended


def read_gpu(uuid: str, mine: Collection[int], nvml: Any = pynvml) -> Device | None:
    """Return a GPU with its memory; None where there is no driver, or it does not answer."""
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:
        return None
    try:
        return _read_gpu(nvml, uuid, mine)
    except nvml.NVMLError as error:
        log.warning("the GPU's driver does not answer", error=str(error))
        return None
    finally:
        nvml.nvmlShutdown()


def _read_gpu(nvml: Any, uuid: str, mine: Collection[int]) -> Device:
    handle = nvml.nvmlDeviceGetHandleByUUID(uuid)
    total, used = _memory(nvml, handle)
    return Device(
        name=_as_text(nvml.nvmlDeviceGetName(handle)), kind="gpu", uuid=uuid, total_bytes=total, used_bytes=used,
        ours_bytes=_bytes_of(nvml, handle, mine), utilisation=_utilisation(nvml, handle), temperature_c=_temperature(nvml, handle),
        power_watts=_watts(nvml, handle, "nvmlDeviceGetPowerUsage"),
        power_limit_watts=_watts(nvml, handle, "nvmlDeviceGetEnforcedPowerLimit"),
    )  # fmt: skip


def _memory(nvml: Any, handle: Any) -> tuple[int, int]:
    """Return how much programs can have, and how much they have; only newer drivers tell what they keep for themselves."""
    try:
        memory = nvml.nvmlDeviceGetMemoryInfo(handle, version=nvml.nvmlMemory_v2)
    except nvml.NVMLError:
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
        return memory.total, memory.used
    return memory.total - memory.reserved, memory.used


def _bytes_of(nvml: Any, handle: Any, mine: Collection[int]) -> int | None:
    """Return what our processes hold; None where the driver does not say: on Windows, or about processes outside a container."""
    try:
        held = {process.pid: process.usedGpuMemory for process in nvml.nvmlDeviceGetComputeRunningProcesses(handle)}
    except nvml.NVMLError:
        return None
    ours = [number for pid, number in held.items() if pid in mine]
    return None if None in ours or not _knows(held) else sum(ours)


def _knows(pids: Collection[int]) -> bool:
    """Return whether the driver's process numbers are ours; in a container without the machine's numbers they are not."""
    return all(psutil.pid_exists(pid) for pid in pids)


def _utilisation(nvml: Any, handle: Any) -> float | None:
    try:
        return float(nvml.nvmlDeviceGetUtilizationRates(handle).gpu) / 100
    except nvml.NVMLError:
        return None


def _temperature(nvml: Any, handle: Any) -> float | None:
    """Return a GPU's temperature in °C; None where the driver does not say, as of a part of one."""
    try:
        warm = float(nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU))
    except nvml.NVMLError:
        return None
    return warm if COLDEST <= warm <= HOTTEST else None


def _watts(nvml: Any, handle: Any, of: str) -> float | None:
    """Return a power that the driver gives in thousandths of a watt; None where it does not say."""
    try:
        watts = float(getattr(nvml, of)(handle)) / MILLI
    except nvml.NVMLError:
        return None
    return watts if 0 <= watts <= MOST_WATTS else None


def _as_text(name: str | bytes) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else name


class DeviceWatch:
    """Looks at the machine and the worker's GPU, if it has one, every few seconds; `latest` is what it saw last."""

    def __init__(self, gpu: str | None, home: Path | None = None) -> None:
        self.gpu, self.home = gpu, home
        self.latest: list[Device] = []

    def start(self, leaving: threading.Event) -> None:
        """Look once, so that the first sign of life tells of them, and go on looking until the worker leaves."""
        threading.Thread(target=self._watch, args=(leaving,), name="devices", daemon=True).start()

    def look(self) -> list[Device]:
        """Look now."""
        mine = process_tree()
        gpu = read_gpu(self.gpu, mine) if self.gpu else None
        return [*([gpu] if gpu else []), read_machine(mine, self.home)]

    def _watch(self, leaving: threading.Event) -> None:
        while True:
            try:
                self.latest = self.look()
            except (psutil.Error, OSError) as error:
                log.warning("the devices could not be looked at", error=str(error))
            if leaving.wait(LOOK_SECONDS):
                return
