"""How much memory there is and how much of it a run takes, and what to say when there is not enough."""

from __future__ import annotations

import os
import resource
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import torch

from app.domain.errors import StudioError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.domain.specs import TrainingSettings

ALLOCATOR_WORDS = ("can't allocate memory", "not enough memory", "Cannot allocate memory")
GPU_WORDS = ("CUDA out of memory", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
"""What libraries beside torch's own allocator say of a GPU that has no memory left."""
PROC, CONTROL_GROUPS = Path("/proc/self"), Path("/sys/fs/cgroup")
UNBOUNDED = 1 << 60
"""A control group without a limit says a number like this, or a word."""


class OutOfMemory(StudioError):
    """There is not enough memory for this run as it is set up."""

    kind, status = "invalid_request_error", 422

    @property
    def where(self) -> str:
        """Return whose memory it is that ran out."""
        return WHERE[str(self.code)]


@dataclass(frozen=True)
class Memory:
    """What a run may still take of some memory, and how much of it there is altogether."""

    free: int
    total: int
    place: str
    """Whose memory it is, as people say it."""


def memory_of(device: torch.device) -> Memory:
    """Return the memory that will run out first: the GPU's; else the machine's, its control group's or this process's share of it."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return Memory(free + unused, total, "the GPU's memory")
    machine = psutil.virtual_memory()
    bounds = [Memory(machine.available, machine.total, "this machine's memory"), *_of_control_groups(), *_of_addresses()]
    return min(bounds, key=lambda bound: bound.free)


def _of_control_groups(proc: Path = PROC, root: Path = CONTROL_GROUPS) -> Iterator[Memory]:
    """Yield what each control group that this process is in leaves it, of either version."""
    try:
        lines = [line.split(":", 2) for line in (proc / "cgroup").read_text("ascii").splitlines()]
    except (OSError, UnicodeDecodeError):
        return  # not Linux
    for _, kinds, path in lines:
        if kinds not in {"", "memory"}:
            continue
        names = ("memory.max", "memory.current", "inactive_file") if not kinds else V1
        # A container may see its group as the root, whatever its path is called outside.
        inner = root / "memory" if kinds else root
        for group in {inner, *(inner / part for part in _and_above(path))}:
            yield from _of_group(group, *names)


V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def _and_above(path: str) -> Iterator[str]:
    parts = [part for part in path.split("/") if part]
    for end in range(len(parts), 0, -1):
        yield "/".join(parts[:end])


def _of_group(group: Path, limit: str, usage: str, given_up: str) -> Iterator[Memory]:
    try:
        most = int((group / limit).read_text("ascii"))
        kept = dict(line.split() for line in (group / "memory.stat").read_text("ascii").splitlines())
        # What it read from files is given up as soon as anybody wants memory.
        used = int((group / usage).read_text("ascii")) - int(kept[given_up])
    except (OSError, ValueError, KeyError):
        return  # no such group, or one without a limit ("max")
    if most < UNBOUNDED:
        yield Memory(max(0, most - used), most, "this container's memory")


def _of_addresses() -> Iterator[Memory]:
    """Yield what a limit on this process's addresses (`ulimit -v`) leaves."""
    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    if most != resource.RLIM_INFINITY:
        yield Memory(max(0, most - psutil.Process().memory_info().vms), most, "this process's share of the memory")


def peak_bytes(device: torch.device) -> int:
    """Return the most memory this process has held: the GPU's when it trains there, else the machine's."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def held_bytes(device: torch.device) -> int:
    """Return the memory this process holds now."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    return int(psutil.Process().memory_info().rss)


def forget_peak(device: torch.device) -> None:
    """Begin anew to look for the most memory held, so that loading a base does not hide what training takes."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif os.access(PROC / "clear_refs", os.W_OK):
        (PROC / "clear_refs").write_text("5", "ascii")


def as_out_of_memory(error: BaseException) -> OutOfMemory | None:
    """Return what to tell a person if `error` means that memory ran out."""
    change = "Set settings.micro_batch_size to 1, lower settings.max_length, or take settings.tuning: qlora."
    code = _kind(error)
    return None if code is None else OutOfMemory(f"{WHERE[code]} is not enough for this run. {change}", code=code)


def too_long(short: OutOfMemory, tokens: int, settings: TrainingSettings) -> OutOfMemory:
    """Return what to tell when memory does not hold a single row of so many tokens, and what helps."""
    helps = ["lower settings.max_length"]
    if settings.gradient_checkpointing != "auto":
        helps.append("set settings.gradient_checkpointing to auto")
    if settings.tuning != "qlora":
        helps.append(f"take settings.tuning: {'lora or qlora' if settings.tuning == 'full' else 'qlora'}")
    if settings.tuning != "full":
        helps.append(f"lower settings.rank, which is {settings.rank}")
    change = f"{', '.join(helps[:-1])} or {helps[-1]}"
    message = f"{short.where} is not enough: not even one row of {tokens:,} tokens fits. To go on, {change}."
    return OutOfMemory(message, code=short.code)


def _kind(error: BaseException) -> str | None:
    said = str(error) if isinstance(error, RuntimeError) else ""
    if isinstance(error, torch.OutOfMemoryError) or any(words in said for words in GPU_WORDS):
        return "out_of_memory_gpu"
    if isinstance(error, MemoryError) or any(words in said for words in ALLOCATOR_WORDS):
        return "out_of_memory_host"
    return None


WHERE = {"out_of_memory_gpu": "The GPU's memory", "out_of_memory_host": "This machine's memory"}
