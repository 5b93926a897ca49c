"""Listening to Redis: threads beside a worker's slots, which go on looking by themselves whatever happens here."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

import structlog
from celery.worker import WorkController
from kombu.exceptions import OperationalError

from app.domain.bells import Bell
from workers.celery_app import celery_app, serve

if TYPE_CHECKING:
    from kombu import Connection

    from workers.worker import Worker

log = structlog.get_logger()
LOOK_SECONDS = 5.0
FRESH_SECONDS = 15
"""A consumer asks Redis anew every second; one that has not for so long hears nothing."""
DEAF_SECONDS = 120.0
"""After this long without hearing, although Redis is there, listening is begun anew: Celery is known to reconnect and stay deaf."""


class Listener:
    """Has Celery consume rings for a worker's queue, and asks Redis whether it really does."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.name = f"hone-{worker.id}"
        self.since = time.time()
        self._consumer: WorkController | None = None

    def start(self) -> None:
        """Begin to listen, and to watch over it."""
        serve(self.worker)
        celery_app.conf.broker_transport_options |= {"client_name": self.name}
        for name in ("celery", "kombu"):
            logging.getLogger(name).setLevel(logging.WARNING)
        self._note(is_heard=False, is_there=False)
        self._listen_anew()
        threading.Thread(target=self._watch, name="watch over the bell", daemon=True).start()

    def _listen_anew(self) -> None:
        threading.Thread(target=self._listen, name="bell", daemon=True).start()

    def _listen(self) -> None:
        """Consume until told to stop; a thread that has been replaced ends."""
        # The pool is this very thread: a ring takes no time. Gossip and mingle only make workers talk to one another.
        consumer = WorkController(
            app=celery_app, hostname=f"{self.worker.id}@{self.worker.host}", queues=[self.worker.queue], pool_cls="solo", concurrency=1,
            without_gossip=True, without_mingle=True, without_heartbeat=True,
        )  # fmt: skip
        self._consumer = consumer
        while not self.worker.leaving.is_set() and self._consumer is consumer:
            consumer.start()
            self.worker.leaving.wait(1.0)

    def _watch(self) -> None:
        heard = time.monotonic()
        while not self.worker.leaving.is_set():
            is_there, is_heard = self._ask_redis()
            self._note(is_heard=is_heard, is_there=is_there)
            if is_heard or not is_there:
                heard = time.monotonic()
            elif time.monotonic() - heard > DEAF_SECONDS:
                log.warning("Redis is there, but no ring is heard; listening is begun anew", seconds=DEAF_SECONDS)
                heard = time.monotonic()
                self._replace()
            self.worker.leaving.wait(LOOK_SECONDS)

    def _replace(self) -> None:
        deaf, self._consumer = self._consumer, None
        if deaf:
            # In a thread of its own: whatever hangs there must not hang here.
            threading.Thread(target=deaf.stop, name="the deaf bell's end", daemon=True).start()
        self._listen_anew()

    def _ask_redis(self) -> tuple[bool, bool]:
        """Return whether Redis answers, and whether it sees this worker wait for rings."""
        try:
            with celery_app.connection_for_read() as connection:
                return True, self._is_waiting(connection)
        except (OperationalError, OSError, *celery_app.connection_for_read().connection_errors):
            return False, False

    def _is_waiting(self, connection: Connection) -> bool:
        clients = connection.channel().client.client_list()
        mine = [client for client in clients if client["name"] == self.name and client["cmd"].lower().endswith("pop")]
        return any(int(client["idle"]) < FRESH_SECONDS for client in mine)

    def _note(self, *, is_heard: bool, is_there: bool) -> None:
        """Have the worker say how it is rung; while it is not it looks as often as without Redis."""
        if is_heard != self.worker.is_rung:
            self.since = time.time()
            log.info("rings are heard" if is_heard else "no ring is heard; looking by itself")
        self.worker.is_rung = is_heard
        self.worker.says |= Bell(by="redis", is_heard=is_heard, is_there=is_there, since=self.since).as_facts()
