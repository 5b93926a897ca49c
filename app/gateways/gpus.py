"""Which GPUs this machine has, by the driver's own tool: neither torch nor NVML's library need be there to start workers."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass

import structlog

log = structlog.get_logger()
VISIBLE = "CUDA_VISIBLE_DEVICES"
ASK_SECONDS = 20.0
PART = re.compile(r"\s+MIG (?P<name>\S+)\s+Device\s+\d+: \(UUID: (?P<uuid>[\w-]+)\)")
OF_A_PART = re.compile(r" MIG \S*\.(?P<gigabytes>\d+)gb")
GIGA, MIB = 10**9, 2**20
WHOLE = re.compile(r"GPU (?P<index>\d+): (?P<name>.+) \(UUID: (?P<uuid>[\w-]+)\)")


@dataclass(frozen=True)
class Gpu:
    """A GPU, or the part of one that the driver deals out as a device (MIG). The number is nvidia-smi's."""

    index: int
    uuid: str
    name: str


class NoSuchGpu(ValueError):
    """A name that is no GPU's, said with those there are."""


def all_gpus() -> list[Gpu]:
    """Return this machine's GPUs, none where there is no driver; of one that is dealt out in parts, the parts."""
    return _read(_told("-L"))


def memory_of(gpu: Gpu) -> int | None:
    """Return the bytes of a GPU's memory, or of the part that it is; None where its driver does not say."""
    if part := OF_A_PART.search(gpu.name):
        return int(part["gigabytes"]) * GIGA
    told = _told(f"--id={gpu.uuid}", "--query-gpu=memory.total", "--format=csv,noheader,nounits").strip()
    return int(told) * MIB if told.isdecimal() else None


def _told(*options: str) -> str:
    """Return what the driver's tool prints; nothing where there is none, or it fails."""
    tool = shutil.which("nvidia-smi")
    if not tool:
        return ""
    try:
        asked = subprocess.run([tool, *options], capture_output=True, text=True, timeout=ASK_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        log.warning("the GPU's driver does not answer; going on without a GPU", error=str(error))
        return ""
    if asked.returncode:
        said = (asked.stdout + asked.stderr).strip().partition("\n")[0]
        log.warning("the GPU's driver does not work; going on without a GPU", error=said, exit=asked.returncode)
        return ""
    return asked.stdout


def _read(listing: str) -> list[Gpu]:
    found: list[Gpu] = []
    whole: Gpu | None = None
    for line in listing.splitlines():
        if gpu := WHOLE.match(line):
            whole = Gpu(int(gpu["index"]), gpu["uuid"], gpu["name"])
            found.append(whole)
        elif whole and (part := PART.match(line)):
            # CUDA uses a GPU in parts, or whole, never both.
            found = [one for one in found if one is not whole]
            found.append(Gpu(whole.index, part["uuid"], f"{whole.name} MIG {part['name']}"))
    return found


def visible_gpus() -> list[Gpu]:
    """Return the GPUs that work may use: all, or those of CUDA_VISIBLE_DEVICES, where the first unknown name ends the list as in CUDA."""
    gpus, listed = all_gpus(), os.environ.get(VISIBLE)
    if listed is None:
        return gpus
    found: list[Gpu] = []
    for name in listed.split(","):
        chosen = _named(gpus, name.strip())
        if not chosen:
            break
        found += chosen
    return found


def gpus_named(listed: str) -> list[Gpu]:
    """Return the GPUs of a list like "0,1" or "GPU-8a…"; NoSuchGpu for a name that is none's. A GPU in parts is all its parts."""
    gpus = all_gpus()
    found: list[Gpu] = []
    for name in listed.split(","):
        chosen = _named(gpus, name.strip())
        if not chosen:
            there = ", ".join(f"{gpu.index} ({gpu.name}, {gpu.uuid})" for gpu in gpus) or "none"
            message = f"There is no GPU {name.strip()!r} here; there are: {there}."
            raise NoSuchGpu(message)
        found += [gpu for gpu in chosen if gpu not in found]
    return found


def _named(gpus: list[Gpu], name: str) -> list[Gpu]:
    """Return whom a number or the beginning of a UUID means."""
    if name.isdecimal():
        return [gpu for gpu in gpus if gpu.index == int(name)]
    return [gpu for gpu in gpus if name and gpu.uuid.startswith(name)]
