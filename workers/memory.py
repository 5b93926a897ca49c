"""How much memory is free, and whether the kernel ended a process for want of it: the machine and each control group keep count."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import psutil

MACHINE = Path("/proc/vmstat")
GROUPS = (Path("/sys/fs/cgroup/memory.events"), Path("/sys/fs/cgroup/memory/memory.oom_control"))
"""Where a container sees its own count: version 2 of control groups, and version 1."""
GROUP = Path("/sys/fs/cgroup")
"""The control group this process is in, as a container sees it."""


def kernel_kills() -> int:
    """Return how often the kernel has ended a process for want of memory, as far as this process can see it."""
    return sum(map(_count_in, (MACHINE, *GROUPS)))


def _count_in(file: Path) -> int:
    try:
        lines = [line.split() for line in file.read_text(encoding="ascii").splitlines()]
    except OSError:
        return 0  # not kept on this system
    return sum(int(words[1]) for words in lines if words[0] == "oom_kill")


def free_bytes() -> int:
    """Return how much memory processes may still take, of the machine and of the control group this one is in."""
    return min([psutil.virtual_memory().available, *_left_to_the_group()])


def _left_to_the_group() -> list[int]:
    with suppress(OSError, ValueError):  # there is no such group, or it is not limited ("max")
        most, taken = (int((GROUP / name).read_text(encoding="ascii")) for name in ("memory.max", "memory.current"))
        counts = dict(line.split() for line in (GROUP / "memory.stat").read_text(encoding="ascii").splitlines())
        return [most - taken + int(counts.get("inactive_file", 0))]  # what was only read is given back when it is wanted
    return []
