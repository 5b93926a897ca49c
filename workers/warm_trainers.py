"""The trainer that a worker keeps warm: a process that has imported its libraries already, and becomes the child of the next run.

One is started with the worker, and another once a run has taken it and made its first step: its imports give way to the training, and
where runs queue up the next one finds it ready. Where the machine is short of memory there is none.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import sysconfig
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

import structlog

from app.config import PROJECT_ROOT
from workers.beginning import environment_of_children, offer_to_the_kernel
from workers.memory import free_bytes
from workers.pipes import has_something
from workers.warm_order import Order, send

if TYPE_CHECKING:
    from workers.beginning import Beginning

log = structlog.get_logger()
PROGRAM, BECOMES = "workers.warm", "workers.train"
LOOK_SECONDS = 2.0
LEAST_FREE_BYTES, LEAST_KEPT_BYTES = 2 * 2**30, 2**30
"""So much memory is free on the machine when one is started, and as long as it is kept: it takes half a gigabyte."""
FIRST_OF_ALL = 1000
"""Where memory runs out the one that only waits goes before everything else."""
CODE = (Path("workers"), Path("app/domain"))


class WarmTrainer:
    """One process that waits for its run."""

    def __init__(self) -> None:
        self._pipe, theirs = socket.socketpair()
        self._code = code_on_disk()
        self._began = time.monotonic()
        self._is_ready = False
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", PROGRAM], stdin=theirs.fileno(), stdout=subprocess.PIPE, cwd=PROJECT_ROOT, start_new_session=True,
                env=environment_of_children(),
            )  # fmt: skip
        offer_to_the_kernel(self.process.pid, FIRST_OF_ALL)

    @property
    def has_ended(self) -> bool:
        """Return whether it died before it had a run."""
        return self.process.poll() is not None

    @property
    def is_of_old_code(self) -> bool:
        """Return whether what it has imported was changed since."""
        return self._code != code_on_disk()

    def is_ready(self) -> bool:
        """Return whether it has imported everything."""
        if not self._is_ready and self.process.stdout and has_something(self.process.stdout):
            self._is_ready = bool(self.process.stdout.read(1))  # nothing where it has died
            if self._is_ready:
                log.info("a warm trainer is ready", pid=self.process.pid, seconds=round(time.monotonic() - self._began, 1))
        return self._is_ready

    def begin(self, beginning: Beginning) -> IO[bytes]:
        """Give it its run and return where its commands go; OSError when it has died."""
        order = Order(arguments=list(beginning.arguments[1:]), folder=str(beginning.folder), environment=dict(beginning.environment))
        send(self._pipe, order, [beginning.log, beginning.events, *beginning.keeps])
        self._close_its_output()
        return os.fdopen(self._pipe.detach(), "wb", buffering=0)

    def end(self) -> None:
        """End it."""
        self._pipe.close()
        self._close_its_output()
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def _close_its_output(self) -> None:
        if self.process.stdout:
            self.process.stdout.close()


class WarmTrainers:
    """Keeps one trainer warm for the runs of a worker.

    It is started by a thread that stays: Linux ends a child that asked for it when the very thread that started it ends.
    """

    def __init__(self) -> None:
        self._one: WarmTrainer | None = None
        self._lock = threading.Lock()
        self._look = threading.Event()
        self._is_wanted = self._is_closed = False

    def start(self) -> None:
        """Begin to keep one."""
        self.want_another()
        threading.Thread(target=self._keep, name="warm trainers", daemon=True).start()

    @property
    def waiting(self) -> int | None:
        """Return the process that waits, if any."""
        return self._one.process.pid if self._one else None

    def is_ready(self) -> bool:
        """Return whether one waits that has imported everything."""
        with self._lock:
            return self._one is not None and self._one.is_ready()

    def want_another(self) -> None:
        """Have one started unless there is one."""
        if self._one is None:
            self._is_wanted = True
            self._look.set()

    def begin(self, beginning: Beginning) -> tuple[subprocess.Popen[bytes], IO[bytes]] | None:
        """Give a run of the trainer to the one that waits; None when there is none that may be used."""
        if beginning.arguments[0] != BECOMES:
            return None
        with self._lock:
            if self._one is None or not self._one.is_ready():
                return None  # one that is not ready gives way to whatever computes, and might take longer than a new one
            one, self._one = self._one, None
        try:
            if not one.is_of_old_code:
                return one.process, one.begin(beginning)
        except OSError as error:
            log.warning("a warm trainer could not be given its run, which starts cold", error=str(error), code=one.process.poll())
        one.end()
        return None

    def close(self) -> None:
        """End the one that waits; there will be no other."""
        with self._lock:
            self._is_closed = True
            if self._one:
                self._one.end()
                self._one = None
        self._look.set()

    def _keep(self) -> None:
        while not self._is_closed:
            try:
                with self._lock:
                    self._tend()
            except Exception:
                # The outer edge of a thread that may not end: Linux would end the runs that took what it started.
                log.exception("no trainer can be kept warm")
            self._look.wait(LOOK_SECONDS)
            self._look.clear()

    def _tend(self) -> None:
        is_short = free_bytes() < (LEAST_KEPT_BYTES if self._one else LEAST_FREE_BYTES)
        if self._one and self._one.has_ended:
            # Not started again before the next run has begun: it would die again.
            log.warning("a warm trainer ended by itself", code=self._one.process.returncode)
            self._one.end()
            self._one = None
        elif self._one and is_short:
            log.info("the warm trainer makes room: the machine is short of memory")
            self._one.end()
            self._one, self._is_wanted = None, True
        elif self._one:
            self._one.is_ready()
        elif self._is_wanted and not is_short and not self._is_closed:
            self._one, self._is_wanted = WarmTrainer(), False


def code_on_disk() -> int:
    """Return what changes when the code that a trainer imports is changed, or a library is installed."""
    files = [path for folder in CODE for path in (PROJECT_ROOT / folder).rglob("*.py")]
    return hash((*((path, path.stat().st_mtime_ns) for path in sorted(files)), Path(sysconfig.get_path("purelib")).stat().st_mtime_ns))
