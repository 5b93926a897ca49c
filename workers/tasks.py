"""The one task there is."""

from __future__ import annotations

from app.gateways.queue import RING
from workers.celery_app import celery_app, the_worker


@celery_app.task(name=RING)
def ring(queue: str) -> None:  # noqa: ARG001 - the queue a message arrives by is the worker's own
    """Wake the worker; the work itself runs in its slots, so that Celery has nothing to wait for, hand out again or shut down."""
    the_worker().ring()
