"""REST of queues: how much may run at once, and whether anything starts at all."""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field

from app.api.dependencies import Id, IdentityDep, ReadSession, StudioDep, WriteSession
from app.domain.queueing import QueueChange
from app.services.queues import QueueState

router = APIRouter(prefix="/api/v1/queues", tags=["queues"])


class QueueOut(BaseModel):
    """A queue as it stands; it is shared by all projects."""

    name: str = Field(description="gpu trains, cpu reads files.")
    slots: int | None = Field(
        description="How many may run at once over all workers, but for downloads and measurements, which mostly wait; null: all that can."
    )
    held: bool = Field(description="Whether nothing is taken from it.")
    held_by: str | None
    held_since: datetime | None
    running: int
    waiting: int
    workers: int = Field(description="How many workers of it are alive.")


class QueueList(BaseModel):
    """All queues."""

    data: list[QueueOut]


def present(state: QueueState) -> QueueOut:
    """Return a queue as REST shows it."""
    return QueueOut.model_validate(state, from_attributes=True)


@router.get("", operation_id="list_queues")
def list_queues(studio: StudioDep, session: ReadSession, _: IdentityDep) -> QueueList:
    """List the queues with their limits, and how much runs and waits in each."""
    return QueueList(data=[present(state) for state in studio.queues(session).every()])


@router.patch("/{name}", operation_id="change_queue")
def change_queue(studio: StudioDep, session: WriteSession, identity: IdentityDep, name: Id, body: QueueChange) -> QueueOut:
    """Limit, hold or release a queue; whatever runs goes on."""
    return present(studio.queues(session).change(identity, name, body))
