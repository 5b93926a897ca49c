"""A piece of work as a process of its own: events come out of a pipe, commands go in, and the whole group ends together."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import threading
import time
from contextvars import copy_context
from typing import TYPE_CHECKING

import structlog
from pydantic import ValidationError

from app.domain.events import AnyEvent, Command, Metric, parse_event
from app.gateways.lifeline import is_running, members_of
from workers.beginning import Beginning, environment_of_children, offer_to_the_kernel
from workers.run_log import LogTail

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from app.domain.tracking import Tracker
    from workers.warm_trainers import WarmTrainers

log = structlog.get_logger()
FIRST_TO_GO = 800
"""How readily the kernel takes a child when memory runs out; 1000 is before all others."""
LOOK_SECONDS = 0.02
ENDING_SECONDS = 5.0
PATIENCE_SECONDS = 60.0
"""A process that hangs in a driver may outlast its killing; after this long the work goes on without waiting for it."""


class Child:
    """One running child. `events` fills as it reports; None there means that its pipe has closed.

    `hub`: it fetches from the Hub, and so gets the token and the proxies, which no other child may know; what stands in it replaces the
    operator's own. `needs_s3`: the same for files on S3, and its keys. `trackers`: it sends numbers there, and so gets their variables.
    `keeps`: open files that have to stay open as long as anything of it lives.
    `warm`: processes that wait for such work. What fetches starts anew: libraries read where they fetch from as they are imported.
    """

    def __init__(
        self, arguments: Sequence[str], *, folder: Path, log_file: Path, hub: Mapping[str, str] | None = None, needs_s3: bool = False,
        trackers: Sequence[Tracker] = (), keeps: Sequence[int] = (), warm: WarmTrainers | None = None,
    ) -> None:  # fmt: skip
        reader, writer = os.pipe()
        environment = environment_of_children(needs_hub=hub is not None, needs_s3=needs_s3, trackers=trackers) | dict(hub or {})
        self.log = LogTail(log_file)
        with log_file.open("ab") as output:
            beginning = Beginning(arguments, folder, environment, output.fileno(), writer, keeps)
            taken = warm.begin(beginning) if warm and hub is None and not needs_s3 else None
            self.process, self._commands = taken or beginning.start()
        self.was_warm = taken is not None
        os.close(writer)
        self.was_killed = False
        self._ending = threading.Lock()
        self._patient_until: float | None = None
        offer_to_the_kernel(self.process.pid, FIRST_TO_GO)
        self.events: queue.Queue[AnyEvent | None] = queue.Queue()
        threading.Thread(target=copy_context().run, args=(self._read, reader, warm), name="events", daemon=True).start()

    def _read(self, reader: int, warm: WarmTrainers | None) -> None:
        with os.fdopen(reader, "rb") as lines:
            for line in lines:
                try:
                    event = parse_event(line)
                except ValidationError:
                    log.warning("a child reported what is no event", line=line[:500])
                    continue
                self.events.put(event)
                if warm and isinstance(event, Metric) and event.step > 0:
                    warm.want_another()  # this one is at work by now
        self.events.put(None)
        if warm:
            warm.want_another()

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
        self.confide(command.model_dump_json())

    def confide(self, text: str) -> None:
        """Send one line before any command: what it may know and no file or variable holds, such as a key."""
        with contextlib.suppress(ConnectionError, ValueError):  # gone, or ended by us
            self._commands.write(text.encode() + b"\n")
            self._commands.flush()

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
            with contextlib.suppress(ConnectionError):
                self._commands.close()

    def _wait_for_its_end(self) -> None:
        # However often it is killed, it is waited for once.
        self._patient_until = self._patient_until or time.monotonic() + PATIENCE_SECONDS
        while self.process.poll() is None or members_of(self.process.pid):
            if time.monotonic() > self._patient_until:
                log.error("processes of a child do not end", pids=members_of(self.process.pid))
                self.events.put(None)  # its pipe may stay open as long
                return
            time.sleep(LOOK_SECONDS)
