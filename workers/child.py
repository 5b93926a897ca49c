"""A piece of work as a process of its own: events come out of a pipe, commands go in, and the whole group ends together."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from contextvars import copy_context
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from pydantic import ValidationError

from app.config import PROJECT_ROOT
from app.domain.events import AnyEvent, Command, parse_event
from app.gateways.environment import child_environment
from app.gateways.lifeline import is_running, members_of
from workers.run_log import LogTail

if TYPE_CHECKING:
    from collections.abc import Sequence

log = structlog.get_logger()
OWN_SETTINGS = "HONE_TRAINER_"
ARROW_ALLOCATOR = {"ARROW_DEFAULT_MEMORY_POOL": "system"}
"""Arrow's own allocators reserve a gigabyte of address space, half of what a child that reads files may have; chosen as it is loaded."""
FIRST_TO_GO = 800
"""How readily the kernel takes a child when memory runs out; 1000 is before all others."""
LOOK_SECONDS = 0.02
ENDING_SECONDS = 5.0
PATIENCE_SECONDS = 60.0
"""A process that hangs in a driver may outlast its killing; after this long the work goes on without waiting for it."""


class Child:
    """One running child. `events` fills as it reports; None there means that its pipe has closed.

    `needs_hub`: it fetches from the Hub, and so gets the token and the proxies; no other child may know them. `needs_s3`: the same for
    files on S3, and its keys.
    `keeps`: open files that have to stay open as long as anything of it lives.
    """

    def __init__(
        self, arguments: Sequence[str], *, folder: Path, log_file: Path, needs_hub: bool = False, needs_s3: bool = False,
        keeps: Sequence[int] = (),
    ) -> None:  # fmt: skip
        reader, writer = os.pipe()
        environment = child_environment(own=OWN_SETTINGS, needs_hub=needs_hub, needs_s3=needs_s3)
        self.log = LogTail(log_file)
        with log_file.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *arguments, "--events-fd", str(writer)],
                stdin=subprocess.PIPE, stdout=output, stderr=output, cwd=folder, pass_fds=(writer, *keeps), start_new_session=True,
                env=environment | {"PYTHONPATH": str(PROJECT_ROOT), "PYTHONUNBUFFERED": "1"} | ARROW_ALLOCATOR,
            )  # fmt: skip
        os.close(writer)
        self.was_killed = False
        self._ending = threading.Lock()
        self._patient_until: float | None = None
        self._offer_to_the_kernel()
        self.events: queue.Queue[AnyEvent | None] = queue.Queue()
        threading.Thread(target=copy_context().run, args=(self._read, reader), name="events", daemon=True).start()

    def _offer_to_the_kernel(self) -> None:
        """Where memory runs out it is the child that has to go: neither the database nor the studio."""
        with contextlib.suppress(OSError):
            Path(f"/proc/{self.process.pid}/oom_score_adj").write_text(str(FIRST_TO_GO), encoding="ascii")

    def _read(self, reader: int) -> None:
        with os.fdopen(reader, "rb") as lines:
            for line in lines:
                try:
                    self.events.put(parse_event(line))
                except ValidationError:
                    log.warning("a child reported what is no event", line=line[:500])
        self.events.put(None)

    def drain(self, wait_seconds: float) -> tuple[list[AnyEvent], bool]:
        """Return what was reported since the last look, waiting a little for the first; True once nothing more will come."""
        found: list[AnyEvent] = []
        with contextlib.suppress(queue.Empty):
            item = self.events.get(timeout=wait_seconds)
            while item is not None:
                found.append(item)
                item = self.events.get_nowait()
            return found, True
        return found, False

    def ask(self, command: Command) -> None:
        """Send a command; a child that has gone does not mind."""
        if self.process.stdin:
            with contextlib.suppress(BrokenPipeError, ValueError):  # gone, or ended by us
                self.process.stdin.write(command.model_dump_json().encode() + b"\n")
                self.process.stdin.flush()

    def terminate(self) -> None:
        """Ask it to keep what it has and leave."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)

    def let_end(self) -> None:
        """Give a child that has closed its pipe a moment to end by itself, so that its exit code says how it did."""
        deadline = time.monotonic() + ENDING_SECONDS
        while is_running(self.process.pid) and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)

    def kill(self) -> None:
        """End the whole process group, and wait until nothing of it is left: only then is what it used free."""
        with self._ending:
            self.was_killed = self.was_killed or is_running(self.process.pid)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self._wait_for_its_end()
            if self.process.stdin:
                with contextlib.suppress(BrokenPipeError):
                    self.process.stdin.close()

    def _wait_for_its_end(self) -> None:
        # However often it is killed, it is waited for once.
        self._patient_until = self._patient_until or time.monotonic() + PATIENCE_SECONDS
        while self.process.poll() is None or members_of(self.process.pid):
            if time.monotonic() > self._patient_until:
                log.error("processes of a child do not end", pids=members_of(self.process.pid))
                self.events.put(None)  # its pipe may stay open as long
                return
            time.sleep(LOOK_SECONDS)
