"""A child that does what its first argument says: a stand-in for a trainer in tests of the lease."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable

from app.domain.events import Checkpoint, Event, Finished, Metric, Started

FAILURES = {
    "fails": Finished(status="failed", reason="No row has an answer.", code="no_trained_tokens"),
    "says what no database holds": Finished(status="failed", reason="The name \0 is none.", code="no_rows", data={"name": "\0"}),
    "finds no room": Finished(status="failed", reason="The disk at /data is full.", code="disk_full"),
}
DEADLY = {"dies": signal.SIGKILL, "dies after a checkpoint": signal.SIGKILL, "stands still": signal.SIGSTOP}


def play(scenario: str, say: Callable[[Event], None]) -> None:
    """Do what the scenario says, and report success if it ends."""
    if scenario == "dies after a checkpoint":
        token = sys.argv[sys.argv.index("--lease-token") + 1] if "--lease-token" in sys.argv else "1"
        say(Checkpoint(step=1, path=f"checkpoints/1-t{token}"))
    if scenario == "speaks nonsense":
        os.write(int(sys.argv[sys.argv.index("--events-fd") + 1]), b"nonsense\n")
    if scenario in DEADLY:
        os.kill(os.getpid(), DEADLY[scenario])
    if scenario in FAILURES:
        say(FAILURES[scenario])
        sys.exit(1)
    if scenario == "obeys" and sys.stdin.readline():
        os.kill(os.getpid(), signal.SIGTERM)
    while scenario in {"waits", "stubborn", "obeys"}:
        time.sleep(0.05)
    say(Finished(status="succeeded"))


def main() -> None:
    """Begin as a trainer does, then play the scenario."""
    scenario, pipe = sys.argv[1], int(sys.argv[sys.argv.index("--events-fd") + 1])

    def say(event: Event) -> None:
        os.write(pipe, event.model_dump_json().encode() + b"\n")

    def leave(*_: object) -> None:
        say(Finished(status="interrupted"))
        sys.exit(0)

    signal.signal(signal.SIGTERM, signal.SIG_IGN if scenario == "stubborn" else leave)
    sys.stderr.write("It was started.\n")
    while scenario == "is being set up":
        time.sleep(0.05)
    say(Started(total_steps=10, message="It began."))
    say(Metric(step=1, name="train/loss", value=2.0))
    if scenario == "hangs with its pipe closed":
        os.close(pipe)
    if scenario.startswith("hangs"):
        sys.stdin.read()  # which ends when nobody waits for this process any more
        sys.exit(1)
    play(scenario, say)


if __name__ == "__main__":
    main()
