"""A waiting trainer that has nothing to import, and then plays a scenario or writes down what it finds."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from tests.workers import scripted_child
from workers import train, warm


def play(arguments: list[str]) -> int:
    """Be the trainer of a run."""
    sys.argv[1:] = arguments
    if arguments[0].endswith(".yaml"):  # of a worker, which knows nothing of scenarios
        sys.argv[1] = "obeys"
    if arguments[0] != "looks around":
        scripted_child.main()
        return 0
    seen = {"pid": os.getpid(), "arguments": arguments, "environment": dict(os.environ)}
    Path("seen.json").write_text(json.dumps(seen), encoding="utf-8")
    sys.stdout.write("It looked around.\n")
    os.close(int(arguments[arguments.index("--events-fd") + 1]))
    return 0


if __name__ == "__main__":
    warm.LIBRARIES = ()
    vars(warm)["_rehearse"] = lambda: None
    vars(train)["main"] = play
    sys.exit(warm.main())
