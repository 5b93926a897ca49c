"""REST of workers: who works here, on what device, and whose its memory is."""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field

from app.api.dependencies import IdentityDep, ReadSession
from app.domain.devices import Device
from app.services.overview import Overview
from app.services.workers import Known, Workers, WorkerState

router = APIRouter(prefix="/api/v1/workers", tags=["workers"])


class WorkerOut(BaseModel):
    """A worker process."""

    id: str = Field(description="Fresh at every start.")
    host: str
    queue: str = Field(description="gpu trains, cpu reads files.")
    device: str
    has_gpu: bool
    state: WorkerState = Field(description="silent: its sign of life is late; lost: what it held goes to another worker.")
    silent_seconds: float = Field(description="How long ago its last sign of life was.")
    run_id: str | None = Field(description="The run it works on, if that is one of this project's.")
    started_at: datetime
    devices: list[Device] = Field(description="Its devices at its last sign of life, GPUs first; empty until it has told of them.")


class WorkerList(BaseModel):
    """All workers that have not left; lost ones stay for a day, at the end."""

    data: list[WorkerOut]


def present(known: Known, run_id: str | None) -> WorkerOut:
    """Return a worker as REST shows it."""
    row = known.row
    return WorkerOut(
        id=row.id, host=row.host, queue=row.queue, device=row.device, has_gpu=row.has_gpu, state=known.state,
        silent_seconds=round(known.silent_seconds, 1), run_id=run_id, started_at=row.started_at, devices=known.devices,
    )  # fmt: skip


@router.get("", operation_id="list_workers")
def list_workers(session: ReadSession, identity: IdentityDep) -> WorkerList:
    """List the workers with their devices: total memory, what is used, and what of that this worker and its run hold."""
    known = Workers(session).known()
    mine = Overview(session).run_names(identity, [one.row.busy_with for one in known])
    return WorkerList(data=[present(one, one.row.busy_with if one.row.busy_with in mine else None) for one in known])
