"""A worker whose trainer starts another process: `python -m tests.workers.lock_holder keeps|forgets`. Prints that process's number."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from workers.device_lock import DeviceLock

GPU = "GPU-of-a-test"
# It leaves when its worker does, and what it has started stays.
TRAINER = """
import os, sys, time
if os.fork() == 0:
    print(os.getpid(), flush=True)
    time.sleep(600)
sys.stdin.read()
"""


def main() -> None:
    """Take the device, start a trainer on it, and wait to be killed."""
    lock = DeviceLock(GPU, 1)
    with lock.taken() as is_free:
        assert is_free
        keeps = lock.inherited if sys.argv[1] == "keeps" else ()
        subprocess.Popen([sys.executable, "-c", TRAINER], stdin=subprocess.PIPE, pass_fds=keeps, start_new_session=True, env=os.environ)
        time.sleep(600)


if __name__ == "__main__":
    main()
