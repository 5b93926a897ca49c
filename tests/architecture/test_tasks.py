"""What the web sends by name, the workers have, with the arguments it is sent."""

from __future__ import annotations

import inspect

from celery import Celery

from app.gateways.queue import CeleryQueue, bell
from workers import celery_app


def applications() -> list[Celery]:
    """Give the Celery application that workers run."""
    return [value for value in vars(celery_app).values() if isinstance(value, Celery)]


def test_the_bell_rings_a_task_that_workers_have_with_arguments_it_takes() -> None:
    (workers,) = applications()
    workers.loader.import_default_modules()
    queue = CeleryQueue("memory://")
    queue.ring("cpu")
    with queue._celery.connection_for_read() as connection, connection.SimpleQueue(bell("cpu")) as waiting:
        message = waiting.get(block=False)
        message.ack()
    arguments, named, _ = message.payload
    task = workers.tasks[message.headers["task"]]
    inspect.signature(task.run).bind(*arguments, **named)


def test_a_message_carries_no_id_so_losing_or_doubling_it_is_harmless() -> None:
    queue = CeleryQueue("memory://")
    queue.ring("gpu")
    with queue._celery.connection_for_read() as connection, connection.SimpleQueue(bell("gpu")) as waiting:
        message = waiting.get(block=False)
        message.ack()
    arguments, named, _ = message.payload
    assert (arguments, named) == ([], {"queue": "gpu"})
