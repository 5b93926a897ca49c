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
    run_id: str | None = Field(description="The run it works on, if that is one of this project's; the first of several.")
    run_ids: list[str] = Field(description="All of this project's runs that it works on.")
    slots: int = Field(description="How much it does at once.")
    waiting: str | None = Field(description="Why it takes nothing at present, such as a GPU that an earlier trainer still holds.")
    bell: str = Field(description="How it hears that something waits, in words.")
    started_at: datetime
    devices: list[Device] = Field(description="Its devices at its last sign of life, GPUs first; empty until it has told of them.")


class WorkerList(BaseModel):
    """All workers that have not left; lost ones stay for a day, at the end."""

    data: list[WorkerOut]


def present(known: Known, run_ids: list[str]) -> WorkerOut:
    """Return a worker as REST shows it, with those of its runs that one may know of."""
    row = known.row
    return WorkerOut(
        id=row.id, host=row.host, queue=row.queue, device=row.device, has_gpu=row.has_gpu, state=known.state,
        silent_seconds=round(known.silent_seconds, 1), run_id=run_ids[0] if run_ids else None, run_ids=run_ids, slots=known.slots,
        waiting=known.waiting, bell=known.bell.in_words, started_at=row.started_at, devices=known.devices,
    )  # fmt: skip


@router.get("", operation_id="list_workers")
def list_workers(session: ReadSession, identity: IdentityDep) -> WorkerList:
    """List the workers with their devices: total memory, what is used, and what of that this worker and its run hold."""
    known = Workers(session).known()
    mine = Overview(session).run_names(identity, [run_id for one in known for run_id in one.work_ids])
    return WorkerList(data=[present(one, [run_id for run_id in one.work_ids if run_id in mine]) for one in known])
