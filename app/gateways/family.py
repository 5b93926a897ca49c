"""Processes that belong together: started as one, started again when they die, ended as one.

Each child holds a pipe to this process and leaves when that ends, even by kill -9.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LONGEST_PAUSE_SECONDS = 30.0
STEADY_SECONDS = 60.0


@dataclass
class Child:
    """One of them: how it is started, and its process while it runs."""

    name: str
    command: list[str]
    environment: dict[str, str]
    folder: Path
    pass_fds: tuple[int, ...] = ()
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    failures: int = 0
    start_at: float = field(default_factory=time.monotonic)

    def start(self, log: IO[bytes] | None) -> None:
        """Start the process in a session of its own, its standard input a pipe from here."""
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.PIPE, stdout=log, stderr=log, cwd=self.folder, env=self.environment,
            pass_fds=self.pass_fds, start_new_session=True,
        )  # fmt: skip

    def has_died(self) -> bool:
        """Return whether it was started and runs no more."""
        return self.process is not None and self.process.poll() is not None

    def plan_restart(self) -> float:
        """Note when to start again, later each time it fails quickly; return the pause in seconds."""
        steady = time.monotonic() - self.started > STEADY_SECONDS
        self.failures = 0 if steady else self.failures + 1
        pause: float = min(LONGEST_PAUSE_SECONDS, 0.5 * 2 ** min(self.failures, 10))  # 2**1024 is no float any more
        self.process, self.start_at = None, time.monotonic() + pause
        return pause


class Family:
    """Children that begin and end together. What they print goes to `log`, or where this process prints."""

    def __init__(self, children: Sequence[Child], log: IO[bytes] | None, *, end_seconds: float, farewell: str, where: str) -> None:
        self.children, self.log, self.end_seconds, self.farewell, self.where = children, log, end_seconds, farewell, where
        self.leaving = threading.Event()

    def leave(self) -> None:
        """Ask the family to end."""
        self.leaving.set()

    def run(self) -> int:
        """Keep the children running until asked to leave."""
        while not self.leaving.is_set():
            for child in self.children:
                self._look_after(child)
            self.tend()
            self.leaving.wait(0.2)
        self.say(self.farewell)
        self._end()
        return 0

    def tend(self) -> None:
        """Do what else has to be done now and then."""

    def say(self, line: str) -> None:
        """Tell whoever started this."""
        # Where there is no room for a line, the family goes on without it.
        with suppress(OSError):
            print(line, file=sys.stderr, flush=True)  # noqa: T201 - talk goes to stderr

    def _look_after(self, child: Child) -> None:
        if child.has_died() and child.process:
            code = child.process.returncode
            _close(child.process)
            pause = child.plan_restart()
            self.say(f"The {child.name} ended (exit {code}); starting it again in {pause:g} s. {self.where}")
        if child.process is None and time.monotonic() >= child.start_at:
            try:
                child.start(self.log)
            except OSError as error:
                # The machine has no process or memory to give just now.
                pause = child.plan_restart()
                self.say(f"The {child.name} could not be started ({error.strerror}); trying again in {pause:g} s. {self.where}")

    def _end(self) -> None:
        """Tell all to leave, and kill what has not left in time."""
        running = [child.process for child in self.children if child.process]
        for process in running:
            process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + self.end_seconds
        for process in running:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            _close(process)


def _close(process: subprocess.Popen[bytes]) -> None:
    if process.stdin:
        process.stdin.close()
