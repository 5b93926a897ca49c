"""Whether the kernel ended a process because memory ran out: it keeps count, for the machine and for each control group."""

from __future__ import annotations

from pathlib import Path

MACHINE = Path("/proc/vmstat")
GROUPS = (Path("/sys/fs/cgroup/memory.events"), Path("/sys/fs/cgroup/memory/memory.oom_control"))
"""Where a container sees its own count: version 2 of control groups, and version 1."""


def kernel_kills() -> int:
    """Return how often the kernel has ended a process for want of memory, as far as this process can see it."""
    return sum(map(_count_in, (MACHINE, *GROUPS)))


def _count_in(file: Path) -> int:
    try:
        lines = [line.split() for line in file.read_text(encoding="ascii").splitlines()]
    except OSError:
        return 0  # not kept on this system
    return sum(int(words[1]) for words in lines if words[0] == "oom_kill")
