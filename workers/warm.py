"""A trainer that is ready before there is a run: `python -m workers.warm` becomes `python -m workers.train` once it is given one.

To import torch, transformers and peft takes seconds, and what they do at their first use another; a run need not wait for either. Until
it has one the process holds nothing: no device, no folder, no key, and no CUDA context.
"""

from __future__ import annotations

import importlib
import os
import socket
import sys
import threading
import traceback
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from workers import train
from workers.lifeline import die_with_parent
from workers.training.talk import Talk
from workers.warm_order import receive

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workers.warm_order import Order

LIBRARIES: tuple[str, ...] = (
    "workers.training.run",
    "pyarrow.parquet",
    "transformers.models.llama.modeling_llama",
    "transformers.models.qwen2.modeling_qwen2",
    "transformers.models.qwen3.modeling_qwen3",
    "transformers.models.gemma3.modeling_gemma3",
)
"""What a rehearsal would leave out; of the architectures the most common, and the others take a moment."""
NICENESS = 19
READY = b"."


def main() -> int:
    """Import, wait for a run, and be its trainer; without one, leave when the supervisor does."""
    die_with_parent()
    train.bound_libraries()
    # Copies of both: standard output becomes the log of a run, and the commands that follow are read from standard input.
    ready = os.dup(sys.stdout.fileno())
    loading = threading.Thread(target=get_ready, args=(ready,), name="loading", daemon=True)
    loading.start()
    with socket.socket(fileno=os.dup(sys.stdin.fileno())) as pipe:
        taken = receive(pipe)
    if taken is None:
        os._exit(0)  # the imports may still be going on
    loading.join()
    arguments = _follow(*taken)
    sys.stdout, sys.stderr = Talk(sys.stdout), Talk(sys.stderr)
    return train.main(arguments)


def get_ready(ready: int) -> None:
    """Import and rehearse, then say so in the file `ready`.

    It gives way to whatever computes meanwhile: on Linux this thread alone is nice, and the run will not be.
    """
    train.hush_libraries()
    # Threads that are made here for good would stay nice: those that turn words into tokens wait for the run.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
    for name in LIBRARIES:
        with told(f"{name} could not be imported"):
            importlib.import_module(name)
    with told("the rehearsal failed"):
        _rehearse()
    with suppress(BrokenPipeError):  # nobody waits for it any more
        os.write(ready, READY)
    os.close(ready)


@contextmanager
def told(what: str) -> Iterator[None]:
    """Say in the worker's log what failed, and go on: the run that needs it fails with words of its own."""
    try:
        yield
    except Exception:  # noqa: BLE001 - the outer edge of what only saves time
        print(f"The warm trainer goes on, though {what}:", file=sys.stderr)
        traceback.print_exc()


def _rehearse() -> None:
    from workers.training.rehearsal import rehearse

    rehearse()


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
