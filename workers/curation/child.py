"""What makes an import a good child: it reports on its pipe, leaves when asked or alone, and cannot eat the machine's memory."""

from __future__ import annotations

import logging
import os
import resource
import shutil
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.domain.errors import StudioError
from app.domain.events import Event, Finished, Progress, Started

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from types import FrameType

log = logging.getLogger("hone.child")
DONE, FAILED, UNUSABLE_SPEC = 0, 1, 2
MEMORY_BYTES = 2 * 1024**3
"""Address space of the process: ordinary files need a tenth of it, and what needs more is an attack or a fault."""
SECONDS_BETWEEN_PROGRESS = 0.5


class Leave(BaseException):
    """Raised in the main thread when somebody asked this process to leave; files are tidied up on the way out."""


class Reporter:
    """Writes events to the supervisor's pipe, each line whole and at once."""

    def __init__(self, descriptor: int) -> None:
        self._stream = os.fdopen(descriptor, "w", encoding="utf-8", closefd=descriptor > sys.stderr.fileno())
        self._next_progress = 0.0

    def emit(self, event: Event) -> None:
        """Write one event; a pipe nobody reads means that nobody wants this work any more."""
        try:
            self._stream.write(event.model_dump_json() + "\n")
            self._stream.flush()
        except BrokenPipeError:
            raise Leave from None

    def progress(self, done: int, total: int, rows: int) -> None:
        """Report progress, at most twice a second."""
        now = time.monotonic()
        if now >= self._next_progress:
            self._next_progress = now + SECONDS_BETWEEN_PROGRESS
            self.emit(Progress(done=done, total=total, rows=rows))


def bound_memory(limit_bytes: int = MEMORY_BYTES) -> None:
    """Let allocations beyond the limit fail here, rather than have the machine run out of memory."""
    if sys.platform == "linux":
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        bound = limit_bytes if hard == resource.RLIM_INFINITY else min(limit_bytes, hard)
        resource.setrlimit(resource.RLIMIT_AS, (bound, hard))


def leave_on_sigterm() -> None:
    """Raise Leave at the first SIGTERM; later ones change nothing, so that tidying up is not cut short."""

    def leave(_number: int, _frame: FrameType | None) -> None:
        ignore_sigterm()
        raise Leave

    signal.signal(signal.SIGTERM, leave)


def ignore_sigterm() -> None:
    """Let nobody interrupt what is left to do."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def leave_with(commands: Iterable[str], tidy_up: Callable[[], None]) -> None:
    """Follow the supervisor in a thread: any command asks an import to leave, and end-of-file means that nobody is there."""

    def follow() -> None:
        for line in commands:
            if line.strip():
                os.kill(os.getpid(), signal.SIGTERM)
        tidy_up()
        os._exit(1)

    threading.Thread(target=follow, name="commands", daemon=True).start()


def see_through(
    reporter: Reporter, work: Callable[[Reporter], Finished], *, doing: str, words: Mapping[type[Exception], str],
    listen: Callable[[], None] = lambda: None,
) -> int:  # fmt: skip
    """Do the work and report how it ended, whatever happens: this is a process's outer edge. Return its exit code.

    `words`: what to tell people of errors that nobody foresaw (Exception), or of a memory that ran out. `listen` begins to follow commands.
    """
    try:
        leave_on_sigterm()
        listen()
        reporter.emit(Started(message=doing))
        finished = work(reporter)
        ignore_sigterm()  # the work is done; leaving now would only report it wrongly
        reporter.emit(finished)
    except Leave:
        with suppress(Leave):  # the pipe may be what broke
            reporter.emit(Finished(status="interrupted", reason="It was asked to stop."))
    except StudioError as error:
        return _failed(reporter, error.message, error.code or "invalid", error.data)
    except MemoryError:
        log.exception("out of memory")
        return _failed(reporter, words[MemoryError], "memory")
    except OSError as error:
        log.exception("input or output failed")
        return _failed(reporter, f"A file could not be read or written: {error.strerror or error}.", "storage")
    except Exception:
        log.exception("the task broke")
        return _failed(reporter, words[Exception], "internal")
    return DONE


def _failed(reporter: Reporter, reason: str, code: str, data: dict[str, Any] | None = None) -> int:
    reporter.emit(Finished(status="failed", reason=reason, code=code, data=data or {}))
    return FAILED


def remove(paths: Iterable[Path]) -> None:
    """Remove files and folders that may be there."""
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
