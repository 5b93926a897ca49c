"""The page of one run: live, its labels, its actions, its files."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter, Query
from fastapi import Path as InPath
from fastapi.responses import FileResponse, PlainTextResponse
from pydantic import ValidationError
from starlette.responses import Response

from app.db.run_log import end_of_log, log_of
from app.db.session import pause
from app.domain.errors import Invalid, NotFound
from app.domain.labels import MAX_TAGS, RunChange, split_tags
from app.domain.queueing import Move, To
from app.domain.specs import MAX_STEPS, TrainingSettings
from app.services.clones import clone, diagnosis_of
from app.services.curves import MEDIA_TYPE, for_tensorboard
from app.services.disk import Disk
from app.services.lineage import lineage_of
from app.services.predictions import outcome_of
from app.services.runs import export_name
from app.services.waiting import waits
from app.web import looks, run_samples, runs_view
from app.web.dependencies import Act, Look, Posted
from app.web.forms import Form, messages_of
from app.web.predictions_view import Panel

if TYPE_CHECKING:
    from app.db import Run
    from app.db.metrics import Point
    from app.web.visit import Visit

router = APIRouter(include_in_schema=False)
Id = Annotated[str, InPath(max_length=64)]
EVENTS_SHOWN = 100
LOG_CHARACTERS = 16 * 1024
LIVE_BLOCKS = ("run_chart", "run_values", "run_events", "run_log", "run_facts", "run_lineage", "run_samples", "run_memory")


@router.get("/runs/{run_id}")
def show_run(visit: Look, run_id: Id, sample: Annotated[int | None, Query(ge=0, le=MAX_STEPS)] = None) -> Response:
    """Show one run; while it lives, its page follows it. `sample` is the place of the checkpoint whose samples are shown."""
    return _page(visit, visit.runs.get(visit.identity, run_id), sample=sample)


@router.post("/runs/{run_id}/labels")
def write_labels(visit: Act, run_id: Id, fields: Posted) -> Response:
    """Write name, notes and tags on a run."""
    run = visit.runs.get(visit.identity, run_id)
    try:
        change = RunChange(name=fields.get("name", ""), notes=fields.get("notes", ""), tags=split_tags(fields.get("tags", "")))
    except ValidationError as error:
        return _page(visit, run, labels=Form(fields, messages_of(error)), status=422)
    before = run.name
    visit.runs.change(visit.identity, run_id, change)
    visit.session.flush()
    # A new name stands in many places of the page.
    return _page(visit, run) if visit.is_fragment and run.name == before else visit.go(f"/runs/{run.id}")


@router.post("/runs/{run_id}/checkpoints")
def delete_checkpoints(visit: Act, run_id: Id) -> Response:
    """Delete the checkpoints of a run that has ended, and keep its adapter."""
    visit.removal.delete_checkpoints(visit.identity, run_id)
    return visit.go(f"/runs/{run_id}")


@router.post("/runs/{run_id}/clone")
def clone_run(visit: Look, run_id: Id, fields: Posted) -> Response:
    """Launch a run like this one, with a fix of its diagnosis."""
    pause(visit.session)
    run = clone(visit.studio, visit.identity, run_id, fix=fields.get("fix") or None)
    return visit.go(f"/runs/{run.id}")


@router.post("/runs/{run_id}/queue")
def change_place(visit: Act, run_id: Id, fields: Posted) -> Response:
    """Put a waiting run to the front of its queue, or give it another priority."""
    if "first" in fields:
        visit.queues.move(visit.identity, run_id, Move(to=To.FIRST))
        return visit.go(f"/runs/{run_id}")
    try:
        change = RunChange.model_validate({"priority": fields.get("priority", "")})
    except ValidationError:
        message = "Choose high, normal or low."
        raise Invalid(message, param="priority") from None
    visit.runs.change(visit.identity, run_id, change)
    return visit.go(f"/runs/{run_id}")


@router.post("/runs/{run_id}/{action}")
def act_on_run(visit: Act, run_id: Id, action: Literal["stop", "pause", "resume", "cancel"]) -> Response:
    """Stop, pause, resume or cancel."""
    run = visit.runs.act(visit.identity, run_id, action)
    visit.session.flush()
    return _page(visit, run) if visit.is_fragment else visit.go(f"/runs/{run.id}")


@router.get("/runs/{run_id}/log")
def show_log(visit: Look, run_id: Id) -> PlainTextResponse:
    """Show the trainer's log, every attempt's."""
    return PlainTextResponse(log_of(visit.session, visit.runs.get(visit.identity, run_id).id))


@router.get("/runs/{run_id}/spec.yaml")
def take_spec(visit: Look, run_id: Id) -> PlainTextResponse:
    """Hand out the run as a file for `hone train`."""
    run = visit.runs.get(visit.identity, run_id)
    headers = {"Content-Disposition": 'attachment; filename="spec.yaml"'}
    return PlainTextResponse(visit.runs.spec_yaml(run), media_type="application/yaml", headers=headers)


@router.get("/runs/{run_id}/tensorboard.zip")
def take_curves(visit: Look, run_id: Id) -> Response:
    """Hand out all numbers so far as a folder for TensorBoard."""
    curves = for_tensorboard(visit.session, visit.runs.get(visit.identity, run_id))
    return Response(curves.content, media_type=MEDIA_TYPE, headers=curves.headers)


@router.get("/runs/{run_id}/adapter.zip")
def take_adapter(visit: Look, run_id: Id) -> FileResponse:
    """Hand out the adapter, or after full tuning the whole model."""
    run = visit.runs.get(visit.identity, run_id)
    if run.adapter is None:
        raise NotFound("This run has made no model yet.", code="adapter_not_found")
    pause(visit.session)
    return FileResponse(visit.studio.storage.path(run.adapter.sha256), media_type="application/zip", filename=run.adapter.filename)


def _page(visit: Visit, run: Run, *, labels: Form | None = None, sample: int | None = None, status: int = 200) -> Response:
    points = runs_view.read_points(visit.session, run.id)
    waiting = waits(visit.session, [run])
    [line] = runs_view.lines(visit.overview.lines([run]), waiting)
    live = looks.is_live(run.status)
    return visit.page(
        "runs/show.html",
        # The stream stands beside what it refreshes: it ends with the run, and begins again when the run is resumed. Who looks at an
        # earlier checkpoint stays there when others come: what refreshes the page knows which one that is.
        also=(*LIVE_BLOCKS, "run_refetch" if live and visit.request.method == "GET" else "live"),
        status=status, labels=labels or Form(_labels(run)), lineage=lineage_of(visit.session, run),
        size=Disk(visit.session).of_runs([run])[run.id], max_tags=MAX_TAGS,
        title=looks.title(run),
        run=run, line=line, live=live, points=points, whole=not visit.is_fragment, worker=visit.overview.worker_of(run),
        sentence=looks.sentence(run, line.loss, points.held_out, line.why), left=visit.overview.seconds_left(run),
        best_loss=_best(points.held_out, live=live), latest_value=line.line.latest.get,
        actions=looks.actions_for(run.status), diagnosis=diagnosis_of(run), settings=TrainingSettings().model_dump() | run.spec["settings"],
        events=visit.overview.newest_events(run.id, EVENTS_SHOWN), spec_yaml=partial(visit.runs.spec_yaml, run),
        folder=export_name(run.version.dataset).removesuffix(".jsonl"), facts=list(runs_view.facts_of(run.facts).items()),
        prediction=_prediction(visit, run),
        samples=run_samples.read_run_samples(visit.session, run.id, sample), memory=runs_view.read_memory(visit.session, run),
        log=end_of_log(visit.session, run.id, characters=LOG_CHARACTERS),
        training_rows=run.version.rows if run.eval_version else run.version.train_rows,
        held_out=run.eval_version.dataset if run.eval_version else None,
        exports=[version.dataset for version in (run.version, run.eval_version) if version and not version.dataset.deleted_at],
        held_out_rows=run.eval_version.rows if run.eval_version else run.version.test_rows,
    )  # fmt: skip


def _prediction(visit: Visit, run: Run) -> Panel | None:
    """Return what was foretold of a run beside what it took, once there is something to compare, or a reason why there is not."""
    found = outcome_of(visit.session, run)
    return Panel(found) if found and (found.memory or found.is_elsewhere) else None


def _labels(run: Run) -> dict[str, str]:
    """Return what is written on a run as its form has it."""
    return {"name": run.name, "notes": run.notes, "tags": ", ".join(run.tags)}


def _best(held_out: list[Point], *, live: bool) -> str:
    """Say at which check held-out loss was lowest, once there are two to choose from."""
    if len(held_out) < 2:  # noqa: PLR2004 - one check has no rival
        return "before it began" if held_out and not held_out[0].step else ""
    best = min(held_out, key=lambda point: point.value)
    if best is held_out[-1]:
        return "best so far" if live else "its best"
    return (
        f"best at step {best.step}" if f"{best.value:.3f}" == f"{held_out[-1].value:.3f}" else f"best {best.value:.3f} at step {best.step}"
    )
