"""A child process ends with its parent, whatever kills the parent.

The parent keeps the writing end of the child's standard input; when the parent dies, even by kill -9, the child reads end-of-file.
On Linux the kernel's own death signal is asked for besides.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

PR_SET_PDEATHSIG = 1
GRACE_SECONDS = 8.0
TOLD_TO_LEAVE = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
GONE = {"Z", "X"}
"""States of a process that has ended and only waits to be noticed."""


def process_space() -> str:
    """Return what tells this machine's process numbers from all others': the boot and the namespace (empty where unknown)."""
    boot, space = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    return f"{boot.read_text().strip()} {space.readlink()}" if boot.exists() else ""


def is_running(pid: int) -> bool:
    """Return whether a process of this process space still works; one that has ended and waits to be noticed does not (Linux)."""
    state = _stat(pid)
    return state[0] not in GONE if state else _is_hidden(pid)


def members_of(group: int) -> list[int]:
    """Return the processes of a process group that still work (Linux; elsewhere it is not said)."""
    pids = [int(path.name) for path in Path("/proc").glob("[0-9]*")]
    return [pid for pid, state in ((pid, _stat(pid)) for pid in pids) if state and state[0] not in GONE and int(state[2]) == group]


def _stat(pid: int) -> list[str]:
    """Return what the system says of a process, from its state on; nothing of one that is not there."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def _is_hidden(pid: int) -> bool:
    """Return whether there is a process that this system shows to its own user alone (hidepid)."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except ProcessLookupError:
        pass
    return False


def when_told_to_leave(act: Callable[[], None]) -> None:
    """Call `act` at the first SIGINT, SIGTERM or SIGHUP, and once.

    In a thread of its own: a signal interrupts the main thread anywhere, also while it holds the very lock that `act` needs, and would
    then wait for it for ever.
    """
    heard, told = os.pipe()
    os.set_blocking(told, False)

    def listen() -> None:
        os.read(heard, 1)
        act()

    def tell(*_: object) -> None:
        with suppress(BlockingIOError):  # it has been told thousands of times
            os.write(told, b".")

    threading.Thread(target=listen, name="told to leave", daemon=True).start()
    for number in TOLD_TO_LEAVE:
        # nohup has the end of a terminal ignored; a request to leave is followed, whatever whoever started this ignores.
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, tell)


def follow_parent(signal_number: int = signal.SIGTERM) -> None:
    """End this process when standard input reaches end-of-file: by `signal_number`, and for sure some seconds later."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL if signal_number == signal.SIGKILL else signal.SIGTERM)
    threading.Thread(target=_wait_for_the_end, args=(signal_number,), name="lifeline", daemon=True).start()


def _wait_for_the_end(signal_number: int) -> None:
    while os.read(0, 4096):
        pass
    threading.Timer(GRACE_SECONDS, os._exit, args=(1,)).start()
    os.kill(os.getpid(), signal_number)
