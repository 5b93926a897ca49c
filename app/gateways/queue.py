"""The bell: tells workers that something waits. Celery where there is a broker, else pipes in the home; and all workers poll."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog
from celery import Celery
from kombu.entity import Exchange, Queue
from kombu.exceptions import OperationalError

if TYPE_CHECKING:
    from pathlib import Path

RING = "hone.ring"
log = structlog.get_logger()


def bell(queue: str) -> Queue:
    """Return where a queue's workers listen: all of them at once, since one that is busy would keep a ring from those that are not."""
    name = f"hone.{queue}"
    everybody = Exchange(name, type="fanout", durable=False)  # type: ignore[no-untyped-call]
    return Queue(name, everybody, routing_key=name, durable=False)  # type: ignore[no-untyped-call]


class HomeQueue:
    """No broker: workers that share the studio's home each have a named pipe there; others find the work a second later."""

    def __init__(self, bells: Path) -> None:
        self._bells = bells

    def ring(self, queue: str) -> None:
        """Write into the pipe of every worker of the queue; one that has gone reads none."""
        for pipe in self._bells.glob(f"{queue}.*"):
            with suppress(OSError):
                told = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
                try:
                    os.write(told, b".")
                finally:
                    os.close(told)


class CeleryQueue:
    """Sends `hone.ring` by name, so the web process needs nothing of the workers' code."""

    def __init__(self, redis_url: str) -> None:
        self._celery = Celery(broker=redis_url)
        # The web must not hang on a dead broker: the database has the truth and workers poll.
        self._celery.conf.update(broker_connection_timeout=1, broker_transport_options={"socket_timeout": 2, "socket_connect_timeout": 1})

    def ring(self, queue: str) -> None:
        """Send the message; a broker that is down costs only speed."""
        try:
            self._celery.send_task(RING, kwargs={"queue": queue}, queue=bell(queue), ignore_result=True, retry=False)
        except OperationalError as error:
            log.warning("the bell could not be rung; workers will look by themselves", queue=queue, error=str(error))


def make_queue(redis_url: str | None, bells: Path) -> HomeQueue | CeleryQueue:
    """Return the bell for a deployment whose home has `bells`."""
    return CeleryQueue(redis_url) if redis_url else HomeQueue(bells)
