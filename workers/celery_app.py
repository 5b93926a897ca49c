"""The Celery doorbell: messages that say "look into the database" and carry nothing, so losing or doubling one does no harm.

Built when imported, because Celery finds it by name; it opens no connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery import Celery
from celery.signals import worker_shutting_down

from app.config import Settings

if TYPE_CHECKING:
    from workers.worker import Worker

celery_app = Celery("hone", broker=Settings().redis_url, include=["workers.tasks"])
celery_app.conf.update(
    # Acknowledged before it runs: Redis hands out again what is not acknowledged within an hour, and our runs last longer.
    task_acks_late=False,
    # The database has the truth; results would only be a second one.
    task_ignore_result=True,
    # A ring that waits behind a run in the same process wakes nobody.
    worker_prefetch_multiplier=1,
    worker_disable_prefetch=True,
    # The broker may come later than the worker; until then the worker polls.
    broker_connection_retry_on_startup=True,
    # JSON only: a pickle could run code.
    task_serializer="json",
    accept_content=["json"],
    task_default_queue="gpu",
    # How long a run may take to save when the worker is told to leave.
    worker_soft_shutdown_timeout=120.0,
    # Redis counts the rings, nobody needs Celery's own chatter.
    worker_send_task_events=False,
    worker_hijack_root_logger=False,
)
_workers: list[Worker] = []


def the_worker() -> Worker:
    """Return the worker of this process."""
    return _workers[0]


def listen(worker: Worker) -> None:
    """Consume rings for the worker's queue until told to leave."""
    _workers[:] = [worker]

    def leave(**_: Any) -> None:
        worker.leaving.set()

    worker_shutting_down.connect(leave, weak=False)
    # Threads: the work itself is a child process. Gossip and mingle only make workers talk to one another.
    arguments = ["worker", "-Q", worker.queue, "-P", "threads", "-c", str(worker.slots + 1), "--without-gossip", "--without-mingle"]
    try:
        celery_app.worker_main([*arguments, "-n", f"{worker.id}@%h", "--loglevel", "WARNING"])
    except SystemExit:
        worker.leaving.set()  # how Celery returns; the caller still has to strike the worker off the list
