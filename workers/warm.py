"""A trainer that has imported everything and waits: `python -m workers.warm` becomes `python -m workers.train` once it is given a run.

Importing torch, transformers and peft takes seconds, which a run need not wait for. Until it has one the process holds nothing: no
device, no folder, no key, and no CUDA context.
"""

from __future__ import annotations

import importlib
import os
import socket
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from workers import train
from workers.lifeline import die_with_parent
from workers.training.talk import Talk
from workers.warm_order import receive

if TYPE_CHECKING:
    from workers.warm_order import Order

LIBRARIES: tuple[str, ...] = (
    "workers.training.run",
    "pyarrow.parquet",
    "peft.tuners.lora.model",
    "transformers.models.auto.modeling_auto",
    "transformers.models.auto.tokenization_auto",
    "transformers.models.llama.modeling_llama",
    "transformers.models.qwen2.modeling_qwen2",
    "transformers.models.qwen3.modeling_qwen3",
    "transformers.models.gemma3.modeling_gemma3",
)
"""What runs import sooner or later; of the architectures the most common, and the others take a moment."""
NICENESS = 19
READY = b"."


def main() -> int:
    """Import, wait for a run, and be its trainer; without one, leave when the supervisor does."""
    die_with_parent()
    train.set_threads()
    # Copies of both: standard output becomes the log of a run, and the commands that follow are read from standard input.
    ready = os.dup(sys.stdout.fileno())
    loading = threading.Thread(target=_load, args=(ready,), name="loading", daemon=True)
    loading.start()
    with socket.socket(fileno=os.dup(sys.stdin.fileno())) as pipe:
        taken = receive(pipe)
    if taken is None:
        os._exit(0)  # the imports may still be going on
    arguments = _follow(*taken)
    loading.join()
    sys.stdout, sys.stderr = Talk(sys.stdout), Talk(sys.stderr)
    return train.main(arguments)


def _load(ready: int) -> None:
    """Import, and give way to whatever computes meanwhile: on Linux it is this thread alone that is nice, and the run will not be."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
    for name in LIBRARIES:
        with suppress(Exception):  # the run that needs it says what is wrong with it
            importlib.import_module(name)
    with suppress(BrokenPipeError):  # nobody waits for it any more
        os.write(ready, READY)
    os.close(ready)


def _follow(order: Order, files: list[int]) -> list[str]:
    """Be where a trainer of this run would have been started, and return its arguments."""
    log, events, *kept = files
    for standard in (1, 2):
        os.dup2(log, standard)
    os.close(log)
    for file in (events, *kept):
        os.set_inheritable(file, True)
    os.chdir(order.folder)
    os.environ.clear()
    os.environ.update(order.environment)
    return [*order.arguments, "--events-fd", str(events)]


if __name__ == "__main__":
    sys.exit(main())
