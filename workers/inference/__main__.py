"""python -m workers.inference: answers chats with the models of one machine, for the web process beside it."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from types import FrameType

import uvicorn

from app.gateways.lifeline import follow_parent
from app.gateways.logs import configure_logging
from workers.inference.devices import AUTO, take_first_gpu
from workers.inference.engine import Engine
from workers.inference.server import create_app

NICENESS = 10
GRACE_SECONDS = 2
BACKLOG = 128
SPINS = "1000"
"""Turns a thread spins while it waits for others; as many as the trainer's (docs/engine.md)."""


class Server(uvicorn.Server):
    """uvicorn that calls `ready` when it is, and ends generations under way before it waits for their streams."""

    def __init__(self, config: uvicorn.Config, engine: Engine, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._engine, self._ready = engine, ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen, and say so."""
        await super().startup(sockets)
        self._ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's signature
        """Leave cleanly on SIGTERM and SIGINT; uvicorn itself would raise the signal again at the end."""
        self._engine.close()
        self.should_exit = True


def main() -> None:
    """Serve until told to leave, or until the parent is gone."""
    given = _arguments()
    key = os.environ.get("HONE_INFERENCE_KEY")
    if not key:
        sys.exit("HONE_INFERENCE_KEY is not set; the web process and this server share it.")
    threads = os.environ.get("HONE_INFERENCE_THREADS", "1")
    _set_environment(threads)
    os.nice(NICENESS)
    if not given.alone:
        follow_parent(signal.SIGKILL)
    configure_logging("inference", "json" if os.environ.get("HONE_LOG_FORMAT") == "json" else "text")
    engine = Engine(given.device, int(threads), take_first_gpu() if given.device == AUTO else None)
    engine.start()
    listener = socket.socket(fileno=given.fd) if given.fd is not None else socket.create_server((given.host, given.port), backlog=BACKLOG)
    config = uvicorn.Config(
        create_app(engine, key), log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=GRACE_SECONDS
    )
    address = "http://{}:{}".format(*listener.getsockname()[:2])

    def say_ready() -> None:
        logging.getLogger(__name__).info("ready on %s", address)
        if given.fd is None:
            print(f"inference ready on {address}", flush=True)

    Server(config, engine, say_ready).run(sockets=[listener])
    sys.stdout.flush()
    os._exit(0)  # the engine's thread may be inside torch, where a normal end of the interpreter would wait or crash


def _set_environment(threads: str) -> None:
    """Settle what libraries read when they are imported."""
    os.environ |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": threads, "TOKENIZERS_PARALLELISM": "false"}
    os.environ.setdefault("GOMP_SPINCOUNT", SPINS)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m workers.inference", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    parser.add_argument("--fd", type=int, help="listen on this bound socket instead")
    parser.add_argument("--alone", action="store_true", help="not a child of `hone up`, so standard input says nothing")
    parser.add_argument("--device", default=AUTO, help="auto takes the first GPU if there is one")
    return parser.parse_args()


if __name__ == "__main__":
    main()
