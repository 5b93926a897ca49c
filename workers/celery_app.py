"""The Celery doorbell: messages that say "look into the database" and carry nothing, so losing or doubling one does no harm.

Built when imported; it opens no connection. `workers.bell` listens with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery import Celery

from app.config import Settings

if TYPE_CHECKING:
    from workers.worker import Worker

celery_app = Celery("hone", broker=Settings().redis_url, include=["workers.tasks"])
celery_app.conf.update(
    # Acknowledged before it runs, and over in a moment: nothing is ever handed out again because a run takes longer than some timeout.
    task_acks_late=False,
    # The database has the truth; results would only be a second one.
    task_ignore_result=True,
    # Every worker hears every ring, so there is nothing to hoard. Without a limit, because one whose acknowledgement was lost counts
    # for ever: with a limit of one, nothing is heard any more.
    worker_prefetch_multiplier=0,
    # The broker may come later than the worker, and go for as long as it likes; meanwhile the worker looks by itself.
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    # A Redis that is loading, full or has just been emptied answers with errors; that is no reason to stop listening.
    broker_channel_error_retry=True,
    broker_connection_timeout=4.0,
    broker_transport_options={
        # After this long Redis hands out again what is not acknowledged. Ours is, at once; said here because the shortest of all
        # applications on one Redis counts.
        "visibility_timeout": 3600,
        # Firewalls forget connections that are silent, and do not say so.
        "socket_keepalive": True,
        "health_check_interval": 15,
        # Nothing may wait for ever for an answer.
        "socket_timeout": 10.0,
        "socket_connect_timeout": 4.0,
    },
    # Nothing runs that a lost connection could cost; said because Celery warns of it otherwise.
    worker_cancel_long_running_tasks_on_connection_loss=True,
    # JSON only: a pickle could run code.
    task_serializer="json",
    accept_content=["json"],
    task_default_queue="gpu",
    # Whoever can write to Redis may ring, and no more: no shutting down of workers from there, and no chatter between them.
    worker_enable_remote_control=False,
    worker_send_task_events=False,
    worker_hijack_root_logger=False,
)
_workers: list[Worker] = []


def serve(worker: Worker) -> None:
    """Have rings wake this worker."""
    _workers[:] = [worker]


def the_worker() -> Worker:
    """Return the worker of this process."""
    return _workers[0]
