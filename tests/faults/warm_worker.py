"""A worker as `hone worker` starts it, with a warm trainer as shipped, but that one only plays."""

from __future__ import annotations

import os

import workers.supervisor
import workers.warm_trainers


def main() -> None:
    """Work until told to leave."""
    os.environ.pop("HONE_WARM_TRAINERS", None)
    workers.warm_trainers.PROGRAM, workers.warm_trainers.LOOK_SECONDS = "tests.workers.warm_child", 0.1
    workers.warm_trainers.LEAST_FREE_BYTES = workers.warm_trainers.LEAST_KEPT_BYTES = 0  # the played one takes next to nothing
    workers.warm_trainers.code_on_disk = lambda: 0  # whoever edits the code meanwhile changes nothing that is tested
    workers.supervisor.main()


if __name__ == "__main__":
    main()
