"""Listening to Redis: threads beside a worker's slots, which go on looking by themselves whatever happens here."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

import structlog
from celery.worker import WorkController
from kombu.transport.redis import Channel

from app.domain.bells import Bell
from app.gateways.queue import bell
from workers.celery_app import celery_app, serve

if TYPE_CHECKING:
    from workers.worker import Worker

log = structlog.get_logger()
LOOK_SECONDS, SILENT_LOOK_SECONDS = 5.0, 1.0
FRESH_SECONDS = 60
"""Celery's connection says every health_check_interval that it lives; one that has not for so long hears nothing."""
DEAF_SECONDS = 120.0
"""After this long without hearing, although Redis is there, listening is begun anew: Celery is known to reconnect and stay deaf."""


class Listener:
    """Has Celery consume rings for a worker's queue, and asks Redis whether it really does."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.name = f"hone-{worker.id}"
        self.bell = Bell(by="redis")
        self._consumer: WorkController | None = None

    def start(self) -> None:
        """Begin to listen, and to watch over it."""
        serve(self.worker)
        celery_app.conf.broker_transport_options |= {"client_name": self.name}
        celery_app.conf.task_queues = [bell(self.worker.queue)]
        # A ring that was not acknowledged is put back at the end otherwise, and a Redis that is away is waited for.
        Channel.do_restore = False
        for name in ("celery", "kombu"):
            logging.getLogger(name).setLevel(logging.WARNING)
        self.worker.says |= self.bell.as_facts()
        self._listen_anew()
        threading.Thread(target=self._watch, name="watch over the bell", daemon=True).start()

    def _listen_anew(self) -> None:
        threading.Thread(target=self._listen, name="bell", daemon=True).start()

    def _listen(self) -> None:
        """Consume until told to leave, or replaced; what ends by itself is begun again."""
        while not self.worker.leaving.is_set():
            self._consumer = consumer = self._new_consumer()
            consumer.start()
            if self._consumer is not consumer:
                return
            self.worker.leaving.wait(1.0)

    def _new_consumer(self) -> WorkController:
        # The pool is the thread that listens: a ring takes no time. Gossip and mingle only make workers talk to one another.
        return WorkController(
            app=celery_app, hostname=f"{self.worker.id}@{self.worker.host}", queues=[bell(self.worker.queue).name],
            pool_cls="solo", concurrency=1, without_gossip=True, without_mingle=True, without_heartbeat=True,
        )  # fmt: skip

    def _watch(self) -> None:
        heard = time.monotonic()
        while not self.worker.leaving.is_set():
            is_there, is_heard = self._ask_redis()
            self._note(is_there=is_there, is_heard=is_heard)
            if is_heard or not is_there:
                heard = time.monotonic()
            elif time.monotonic() - heard > DEAF_SECONDS:
                log.warning("Redis is there, but no ring is heard; listening is begun anew", seconds=DEAF_SECONDS)
                heard = time.monotonic()
                self._replace()
            self.worker.leaving.wait(LOOK_SECONDS if is_heard else SILENT_LOOK_SECONDS)

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
        except Exception as error:  # noqa: BLE001 - the outer edge of this thread: whatever Redis answers, the slots go on looking
            if self.bell.is_there:
                log.warning("Redis does not answer as it should", error=str(error))
            return False, False

    def _is_waiting(self, connection: Any) -> bool:
        mine = [client for client in connection.channel().client.client_list() if client["name"] == self.name]
        return any(int(client["sub"]) + int(client["psub"]) > 0 and int(client["idle"]) < FRESH_SECONDS for client in mine)

    def _note(self, *, is_there: bool, is_heard: bool) -> None:
        """Have the worker say how it is rung; while it is not it looks as often as without Redis."""
        if (is_there, is_heard) != (self.bell.is_there, self.bell.is_heard):
            self.bell = Bell(by="redis", is_there=is_there, is_heard=is_heard)
            log.info(self.bell.in_words)
        self.worker.is_rung = is_heard
        self.worker.says |= self.bell.as_facts()
