"""What the template child may use: a little memory beyond what it has, and a few seconds of the processor for each row."""

from __future__ import annotations

import os
import resource
from pathlib import Path

MEMORY_BYTES = 512 * 2**20
CPU_SECONDS = 2
"""As many as a template's own timer allows, for what even that cannot interrupt; a whole second more at most, as systems count."""


def limit_memory(more: int = MEMORY_BYTES) -> None:
    """Let the process take so much more than it has now."""
    pages = Path("/proc/self/statm")
    used = int(pages.read_text(encoding="ascii").split()[0]) * os.sysconf("SC_PAGE_SIZE") if pages.exists() else 0
    resource.setrlimit(resource.RLIMIT_AS, (used + more, resource.RLIM_INFINITY))


def grant_seconds(more: float = 0.0) -> None:
    """Set the limit of processor time, which counts from the start of the process, anew for what comes next."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    allowed = int(usage.ru_utime + usage.ru_stime + CPU_SECONDS + more) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (allowed, resource.RLIM_INFINITY))
