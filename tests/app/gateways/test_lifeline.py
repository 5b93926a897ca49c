"""A process that is told to leave does so once, and does not hang, whatever it was at."""

from __future__ import annotations

import subprocess
import sys

import pytest

from app.gateways import lifeline
from app.gateways.lifeline import is_running

# The main thread holds the lock that leaving needs, as one does that looks at an event just then; and it is told twice.
IN_THE_MIDST = """
import os, signal, threading
from app.gateways.lifeline import when_told_to_leave

lock, times, done = threading.Lock(), [], threading.Event()

def leave():
    with lock:
        times.append(1)
    done.set()

signal.signal(signal.SIGTERM, signal.SIG_IGN)
when_told_to_leave(leave)
with lock:
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGINT)
done.wait()
print(len(times))
"""


def test_a_signal_is_heard_in_the_midst_of_anything_and_whatever_a_parent_ignores() -> None:
    done = subprocess.run([sys.executable, "-c", IN_THE_MIDST], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "1\n"


@pytest.mark.parametrize(("answer", "runs"), [(PermissionError(), True), (ProcessLookupError(), False)])
def test_a_process_that_this_system_hides_is_not_taken_for_dead(monkeypatch: pytest.MonkeyPatch, answer: OSError, *, runs: bool) -> None:
    def refuse(_pid: int, _signal: int) -> None:
        raise answer

    monkeypatch.setattr(lifeline, "_stat", lambda _: [])
    monkeypatch.setattr("os.kill", refuse)
    assert is_running(12345) is runs
