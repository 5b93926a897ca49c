"""The one task there is."""

from __future__ import annotations

from app.gateways.queue import RING
from workers.celery_app import celery_app, the_worker
from workers.claim import claim_and_run


@celery_app.task(name=RING)
def ring(queue: str) -> None:  # noqa: ARG001 - the queue a message arrives by is the worker's own
    """Run what waits, until nothing does."""
    while claim_and_run(the_worker()):
        pass
