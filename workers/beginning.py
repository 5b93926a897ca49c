"""What a child process begins with: its arguments, its environment and its open files, whether it is new or has waited for them."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from app.config import PROJECT_ROOT
from app.gateways.environment import child_environment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.domain.tracking import Tracker

OWN_SETTINGS = "HONE_TRAINER_"
ARROW_ALLOCATOR = {"ARROW_DEFAULT_MEMORY_POOL": "system"}
"""Arrow's own allocators reserve a gigabyte of address space, half of what a child that reads files may have; chosen as it is loaded."""


@dataclass(frozen=True)
class Beginning:
    """What a process begins a piece of work with: the open files are its log, the pipe for its events, and what it is to keep open."""

    arguments: Sequence[str]
    folder: Path
    environment: Mapping[str, str]
    log: int
    events: int
    keeps: Sequence[int]

    def start(self) -> tuple[subprocess.Popen[bytes], IO[bytes]]:
        """Start a process for it; return where its commands go besides."""
        process = subprocess.Popen(
            [sys.executable, "-m", *self.arguments, "--events-fd", str(self.events)],
            stdin=subprocess.PIPE, stdout=self.log, stderr=self.log, cwd=self.folder, pass_fds=(self.events, *self.keeps),
            start_new_session=True, env=self.environment,
        )  # fmt: skip
        assert process.stdin  # noqa: S101 - for the type checker: it was asked for
        return process, process.stdin


def environment_of_children(*, needs_hub: bool = False, needs_s3: bool = False, trackers: Sequence[Tracker] = ()) -> dict[str, str]:
    """Return the environment of a child."""
    environment = child_environment(own=OWN_SETTINGS, needs_hub=needs_hub, needs_s3=needs_s3, trackers=trackers)
    return environment | {"PYTHONPATH": str(PROJECT_ROOT), "PYTHONUNBUFFERED": "1"} | ARROW_ALLOCATOR


def offer_to_the_kernel(pid: int, readiness: int) -> None:
    """Where memory runs out it is the child that has to go: neither the database nor the studio."""
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/oom_score_adj").write_text(str(readiness), encoding="ascii")
