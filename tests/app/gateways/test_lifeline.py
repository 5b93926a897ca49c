"""A process that is told to leave twice in one moment leaves once, and does not hang."""

from __future__ import annotations

import subprocess
import sys

# A handler that takes a lock and is told again while it holds it.
TWICE = """
import os, signal, threading
from app.gateways.lifeline import when_told_to_leave

lock, times = threading.Lock(), []

def leave():
    with lock:
        times.append(1)
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)

when_told_to_leave(leave)
os.kill(os.getpid(), signal.SIGTERM)
print(len(times))
"""


def test_a_second_signal_within_the_first_does_not_hang() -> None:
    done = subprocess.run([sys.executable, "-c", TWICE], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "1\n"
