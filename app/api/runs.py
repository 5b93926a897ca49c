"""REST of runs: launch, find, watch, write on, stop, pause, resume, cancel, take away, delete."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse, PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field

from app.api.dependencies import Id, IdentityDep, Limit, ReadSession, StudioDep, WriteSession
from app.db import Run, metrics
from app.db.run_log import log_of
from app.db.session import pause
from app.domain.diagnosis import Diagnosis
from app.domain.errors import NotFound
from app.domain.labels import RunChange
from app.domain.queueing import Move, Priority, priority_of
from app.domain.runs import RunStatus
from app.domain.specs import RunRequest
from app.domain.text import Text
from app.services.clones import clone, diagnosis_of
from app.services.curves import MEDIA_TYPE, for_tensorboard
from app.services.disk import Disk
from app.services.overview import Overview
from app.services.run_filter import RunFilter
from app.services.runs import Runs
from app.services.waiting import Wait, waits

router = APIRouter(prefix="/api/v1/runs", tags=["runs"])


class RunCreated(BaseModel):
    """A run that waits for a worker."""

    id: str = Field(examples=["019aa1f2-03b4-7a11-8a4f-2a6f5a3a7f10"])
    status: RunStatus


class RunOut(RunCreated):
    """A run as it stands."""

    name: str
    notes: str
    tags: list[str]
    reason: str
    priority: Priority
    waiting_for: str | None = Field(description="Why a queued run still waits, or since when one that runs has made no step.")
    starts_at: datetime | None = Field(description="When a queued run will start, most likely; null where nobody can tell.")
    stalled_at: datetime | None = Field(description="Since when a run that a worker holds makes no progress.")
    step: int = Field(description="The last finished step.")
    total_steps: int
    attempt: int
    model: str | None = Field(description="The name the tuned model answers to, once there is one.")
    cloned_from: str | None = Field(description="The run this one took up with changes, while that is there.")
    created_by: str | None = Field(description="Who launched it.")
    disk_bytes: int = Field(description="What it holds on disk: adapter, checkpoints, log.")
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    diagnosis: Diagnosis | None = Field(description="Why it failed, or waits for room on a disk, and what can be done.")
    spec: dict[str, Any] = Field(description="The run's spec with every default filled in.")


class RunDetail(RunOut):
    """A run as it stands, with what was foretold of it."""

    estimate: dict[str, Any] | None = Field(
        description="Memory, time, money and energy as they were estimated at the launch, for the device it would go to; null where no "
        "worker had told of one, or nobody knew what the base measures."
    )


class RunAgain(BaseModel):
    """What is to differ from the run that is launched again."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    fix: Text | None = Field(None, max_length=40, description="The id of a fix in the run's diagnosis.", examples=["qlora"])
    name: Text | None = Field(None, min_length=1, max_length=200, description="Default: the run's name with the next free number.")


class RunList(BaseModel):
    """Runs, newest first."""

    data: list[RunOut]
    has_more: bool


class PointOut(BaseModel):
    """A number at a step."""

    step: int
    name: str
    value: float


class PointList(BaseModel):
    """A metric's curve."""

    data: list[PointOut]


class EventOut(BaseModel):
    """Something that happened."""

    id: str
    time: datetime
    type: str
    message: str
    data: dict[str, Any]


class EventList(BaseModel):
    """What happened, oldest first."""

    data: list[EventOut]
    has_more: bool


def detail(runs: Runs, run: Run) -> RunDetail:
    """Return one run as REST shows it, with its estimate."""
    return RunDetail(**dict(present(runs, [run])[0]), estimate=run.estimate or None)


def present(runs: Runs, found: Sequence[Run]) -> list[RunOut]:
    """Return runs as REST shows them; a handful of queries, however many."""
    waiting, sizes = waits(runs.session, found), Disk(runs.session).of_runs(found)
    people = Overview(runs.session).names({run.created_by for run in found})
    return [_told(run, waiting.get(run.id), people.get(run.created_by), sizes[run.id].total) for run in found]


def _told(run: Run, wait: Wait | None, created_by: str | None, disk_bytes: int) -> RunOut:
    return RunOut(
        id=run.id, status=RunStatus(run.status), name=run.name, notes=run.notes, tags=run.tags, reason=run.reason,
        priority=priority_of(run.priority), waiting_for=wait.why if wait else None, starts_at=wait.starts_at if wait else None,
        stalled_at=datetime.fromtimestamp(run.stalled_at, UTC) if run.stalled_at else None, step=run.step, total_steps=run.total_steps,
        attempt=run.attempt, model=run.model, cloned_from=run.cloned_from, created_by=created_by, disk_bytes=disk_bytes,
        created_at=run.created_at, started_at=run.started_at, finished_at=run.finished_at,
        diagnosis=diagnosis_of(run), spec=run.spec,
    )  # fmt: skip


class Wanted(BaseModel):
    """Which runs to list; filters add up."""

    limit: int = Field(50, ge=1, le=500, description="How many at most.")
    after: Text | None = Field(None, max_length=64, description="The last id one has seen.")
    status: list[Text] = Field(default_factory=list, max_length=20, description="A state, or active, waiting, done; several add up.")
    tag: list[Text] = Field(default_factory=list, max_length=20, description="A tag; of several all must be there.")
    q: Text = Field("", max_length=200, description="Words in name, notes, tags, base or dataset, or the beginning of an id.")
    owner: Text = Field("", max_length=100, description="The name of who launched it.")
    base_model: Text = Field("", max_length=500)
    dataset_id: Text = Field("", max_length=64)

    def filter(self) -> RunFilter:
        """Return the filter, without the place in the list."""
        return RunFilter(tuple(self.status), tuple(self.tag), self.q, self.owner, self.base_model, self.dataset_id)


@router.post("", status_code=201, operation_id="create_run")
def create_run(studio: StudioDep, session: WriteSession, identity: IdentityDep, body: RunRequest) -> RunCreated:
    """Launch a run; 409 when the dataset is not ready, 422 naming the field at fault.

    With the code `preflight_failed` it would learn nothing, or the wrong thing: `error.data.faults` says what, and what mends it.
    """
    run = studio.runs(session).launch(identity, body)
    return RunCreated(id=run.id, status=RunStatus(run.status))


@router.get("", operation_id="list_runs")
def list_runs(studio: StudioDep, session: ReadSession, identity: IdentityDep, wanted: Annotated[Wanted, Query()]) -> RunList:
    """List runs, newest first, all or those that the filters let through."""
    runs = studio.runs(session)
    page = runs.newest(identity, wanted=wanted.filter(), limit=wanted.limit, after=wanted.after)
    return RunList(data=present(runs, page.items), has_more=page.has_more)


@router.get("/{run_id}", operation_id="get_run")
def get_run(studio: StudioDep, session: ReadSession, identity: IdentityDep, run_id: Id) -> RunDetail:
    """Show a run, with the estimate it was launched with."""
    runs = studio.runs(session)
    run = runs.get(identity, run_id)
    return detail(runs, run)


@router.patch("/{run_id}", operation_id="change_run")
def change_run(studio: StudioDep, session: WriteSession, identity: IdentityDep, run_id: Id, body: RunChange) -> RunDetail:
    """Change a run's name, notes, tags or priority, whatever its state; a model that was made keeps its name."""
    runs = studio.runs(session)
    return detail(runs, runs.change(identity, run_id, body))


@router.delete("/{run_id}", status_code=204, operation_id="delete_run")
def delete_run(request: Request, studio: StudioDep, session: WriteSession, identity: IdentityDep, run_id: Id) -> None:
    """Delete a run with its curves, history, checkpoints and adapter; 409 with the reasons while something protects it."""
    studio.removal(session, request.app.state.inference.is_answering).delete(identity, run_id)


@router.delete("/{run_id}/checkpoints", status_code=204, operation_id="delete_checkpoints")
def delete_checkpoints(request: Request, studio: StudioDep, session: WriteSession, identity: IdentityDep, run_id: Id) -> None:
    """Delete the checkpoints of a run that has ended, and keep its adapter; 409 while it has not."""
    studio.removal(session, request.app.state.inference.is_answering).delete_checkpoints(identity, run_id)


@router.post("/{run_id}/move", operation_id="move_run")
def move_run(studio: StudioDep, session: WriteSession, identity: IdentityDep, run_id: Id, body: Move) -> RunDetail:
    """Put a waiting run somewhere else in its queue; it takes the priority of its neighbours where it must. 409 when it waits no more."""
    moved = studio.queues(session).move(identity, run_id, body)
    return detail(studio.runs(session), moved.run)


@router.post("/{run_id}/clone", status_code=201, operation_id="clone_run")
def clone_run(studio: StudioDep, identity: IdentityDep, run_id: Id, body: RunAgain) -> RunCreated:
    """Launch a run like this one, with a fix of its diagnosis; 422 when there is no such fix, or its dataset is gone."""
    run = clone(studio, identity, run_id, fix=body.fix, name=body.name)
    return RunCreated(id=run.id, status=RunStatus(run.status))


@router.post("/{run_id}/{action}", operation_id="act_on_run")
def act_on_run(
    studio: StudioDep, session: WriteSession, identity: IdentityDep, run_id: Id, action: Literal["stop", "pause", "resume", "cancel"]
) -> RunDetail:
    """Stop (keeps what was learned as a model), pause, resume or cancel; 409 when the run's state does not allow it."""
    runs = studio.runs(session)
    return detail(runs, runs.act(identity, run_id, action))


@router.get("/{run_id}/metrics", operation_id="get_metrics")
def get_metrics(
    studio: StudioDep, session: ReadSession, identity: IdentityDep, run_id: Id,
    name: Annotated[str | None, Query(max_length=100, examples=["train/loss"])] = None,
    max_points: Annotated[int | None, Query(ge=3, le=100_000)] = None,
) -> PointList:  # fmt: skip
    """Return a metric's points by step (all metrics without `name`), thinned to `max_points` so that the curve looks the same."""
    run = studio.runs(session).get(identity, run_id)
    names = [name] if name else metrics.names(session, run.id)
    points = [point for curve in metrics.read_each(session, run.id, names, max_points) for point in curve]
    return PointList(data=[PointOut(step=p.step, name=p.name, value=p.value) for p in points])


@router.get("/{run_id}/tensorboard.zip", operation_id="get_tensorboard", response_class=Response)
def get_tensorboard(studio: StudioDep, session: ReadSession, identity: IdentityDep, run_id: Id) -> Response:
    """Download all numbers so far as a folder for TensorBoard; 404 while there are none."""
    curves = for_tensorboard(session, studio.runs(session).get(identity, run_id))
    return Response(curves.content, media_type=MEDIA_TYPE, headers=curves.headers)


@router.get("/{run_id}/events", operation_id="list_events")
def list_events(
    studio: StudioDep, session: ReadSession, identity: IdentityDep, run_id: Id, limit: Limit = 100,
    after: Annotated[int, Query(ge=0, lt=2**63, description="The last event's id one has seen.")] = 0,
) -> EventList:  # fmt: skip
    """List what happened to a run, oldest first."""
    page = studio.runs(session).events(identity, run_id, limit=limit, after=after)
    shown = [EventOut(id=str(e.id), time=e.time, type=e.type, message=e.message, data=e.data) for e in page.items]
    return EventList(data=shown, has_more=page.has_more)


@router.get("/{run_id}/log", operation_id="get_log", response_class=PlainTextResponse)
def get_log(studio: StudioDep, session: ReadSession, identity: IdentityDep, run_id: Id) -> PlainTextResponse:
    """Return the trainer's log, every attempt's; of a long one the beginning and the newest part."""
    return PlainTextResponse(log_of(session, studio.runs(session).get(identity, run_id).id))


@router.get("/{run_id}/adapter.zip", operation_id="get_adapter", response_class=FileResponse)
def get_adapter(studio: StudioDep, session: ReadSession, identity: IdentityDep, run_id: Id) -> FileResponse:
    """Download the adapter in PEFT layout with its card, or after full tuning the whole model; 404 while there is none."""
    run = studio.runs(session).get(identity, run_id)
    if run.adapter is None:
        message = "This run has made no model yet."
        raise NotFound(message, code="adapter_not_found")
    pause(session)
    return FileResponse(studio.storage.path(run.adapter.sha256), media_type="application/zip", filename=run.adapter.filename)


@router.get("/{run_id}/spec.yaml", operation_id="get_spec", response_class=PlainTextResponse)
def get_spec(studio: StudioDep, session: ReadSession, identity: IdentityDep, run_id: Id) -> PlainTextResponse:
    """Return the run as a file for `hone train`."""
    runs = studio.runs(session)
    return PlainTextResponse(runs.spec_yaml(runs.get(identity, run_id)), media_type="application/yaml")
