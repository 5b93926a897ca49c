"""Measurements before training: a form and a list, and the page of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter, Query
from fastapi import Path as InPath
from starlette.responses import Response

from app.domain.baselines import WAYS
from app.domain.datasets import DatasetStatus
from app.domain.errors import StudioError
from app.services.baselines import results_of
from app.web import baselines_view as view
from app.web.dependencies import Act, Look, Posted
from app.web.forms import Form

if TYPE_CHECKING:
    from app.web.visit import Visit

router = APIRouter(include_in_schema=False)
Id = Annotated[str, InPath(max_length=64)]
LIST_ROWS = 30


@router.get("/baselines")
def list_baselines(
    visit: Look,
    dataset_id: Annotated[str, Query(max_length=64)] = "",
    base_model: Annotated[str, Query(max_length=500)] = "",
    after: Annotated[str | None, Query(max_length=64)] = None,
) -> Response:
    """Show the form, and what was measured so far."""
    return _list(visit, view.fresh_form({"dataset_id": dataset_id, "base_model": base_model}), after=after)


@router.post("/baselines")
def create_baseline(visit: Act, fields: Posted) -> Response:
    """Have something measured."""
    request = view.parse(fields)
    if isinstance(request, Form):
        return _list(visit, request, status=422)
    try:
        made = visit.baselines.create(visit.identity, request)
    except StudioError as error:
        return _list(visit, Form(fields).refused(error, view.FIELDS), status=error.status)
    return visit.go(f"/baselines/{made.id}")


@router.get("/baselines/{baseline_id}")
def show_baseline(visit: Look, baseline_id: Id, asked: Annotated[view.Asked, Query()]) -> Response:
    """Show one measurement; while it lasts, its page follows it."""
    return _page(visit, baseline_id, asked)


@router.post("/baselines/{baseline_id}/{action}")
def act_on_baseline(visit: Act, baseline_id: Id, action: Literal["cancel", "delete"]) -> Response:
    """Call a measurement off, or forget it."""
    if action == "delete":
        visit.baselines.delete(visit.identity, baseline_id)
        return visit.go("/baselines")
    visit.baselines.cancel(visit.identity, baseline_id)
    visit.session.flush()
    return _page(visit, baseline_id, view.Asked()) if visit.is_fragment else visit.go(f"/baselines/{baseline_id}")


def _list(visit: Visit, form: Form, *, after: str | None = None, status: int = 200) -> Response:
    page = visit.baselines.newest(visit.identity, limit=LIST_ROWS, after=after)
    datasets = [each for each in visit.datasets.newest(visit.identity, limit=200).items if each.status == DatasetStatus.READY]
    return visit.page(
        "baselines/list.html", status=status, form=form, heads=[view.head_of(row) for row in page.items], has_more=page.has_more,
        after=after, datasets=datasets, models=[name for name, _ in visit.models.names(visit.identity)], ways=WAYS,
        outside=visit.studio.connections(visit.session).outside(visit.identity),
    )  # fmt: skip


def _page(visit: Visit, baseline_id: str, asked: view.Asked) -> Response:
    row = visit.baselines.get(visit.identity, baseline_id)
    head, results = view.head_of(row), results_of(row)
    shown: list[view.Shown] = []
    found = 0
    if results:
        rows, _ = visit.baselines.rows(visit.identity, baseline_id, limit=1000)
        shown, found = view.rows_shown(rows, results, head.plan, asked)
    return visit.page(
        "baselines/show.html", also=("live",), head=head, results=results, asked=asked, shown=shown, found=found,
        lines=view.lines_of(results, head.plan) if results else [], is_share=results is not None and view.is_share(results), ways=WAYS,
        metrics=view.metrics_of(results) if results else [], page_rows=view.ROWS_SHOWN, only=view.Only,
    )  # fmt: skip
