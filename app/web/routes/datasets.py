"""Pages of datasets: bring a file, map its columns, look at what it holds, take it away."""

from __future__ import annotations

from functools import partial
from pathlib import PurePath
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, RedirectResponse, Response

from app.db import Dataset
from app.domain.datasets import DatasetStatus
from app.domain.errors import StudioError
from app.gateways.uploads import receive_upload
from app.services.runs import export_name
from app.web import datasets_view, looks
from app.web.dependencies import Act, Caller, Look, Posted, studio_of
from app.web.forms import Form
from app.web.visit import Visit

router = APIRouter(include_in_schema=False)
Id = Annotated[str, Path(max_length=64)]
After = Annotated[int, Query(ge=-1, le=2**53)]
LIST_ROWS, PAGE_ROWS = 50, 20
BLOCKS = ("dataset_mapping", "dataset_problems", "dataset_rows", "dataset_events")


@router.get("/datasets")
def show_datasets(visit: Look, after: Annotated[str | None, Query(max_length=64)] = None) -> Response:
    """List the project's datasets, newest first, and take files."""
    return _list(visit, after=after)


@router.post("/datasets")
async def upload(request: Request, caller: Caller) -> Response:
    """Take a file as it streams in; the page's script gets JSON, a plain form is sent on to the new dataset."""
    studio = studio_of(request)
    by_script = request.headers.get("accept", "") == "application/json"
    try:
        received = await receive_upload(request.stream(), request.headers, studio.incoming, studio.max_upload_bytes)
        name = received.fields.get("name") or PurePath(received.files[0].filename).stem
        keep = partial(studio.bring, caller, received.files, name=name)
        dataset = await run_in_threadpool(keep)
    except StudioError as error:
        # The page's script shows the reason beside the file; a plain form gets the error page.
        if by_script:
            return JSONResponse({"message": error.message}, error.status)
        raise
    address = f"/datasets/{dataset.id}"
    return JSONResponse({"href": address}, 201) if by_script else RedirectResponse(address, 303)


@router.get("/datasets/{dataset_id}")
def show_dataset(visit: Look, dataset_id: Id, after: After = -1) -> Response:
    """Show one dataset: how its reading goes, what was found, and its rows."""
    return _page(visit, visit.datasets.get(visit.identity, dataset_id), after=after)


@router.post("/datasets/{dataset_id}/mapping")
def map_columns(visit: Act, dataset_id: Id, fields: Posted) -> Response:
    """Say which column holds what, and have the file read again."""
    dataset = visit.datasets.get(visit.identity, dataset_id)
    columns = datasets_view.columns_of(dataset)
    mapping, form = datasets_view.mapping_from(columns, fields)
    if form.errors or form.general:
        return _page(visit, dataset, form=form, status=422)
    system = fields.get("system")
    try:
        visit.datasets.remap(visit.identity, dataset_id, mapping, system)
    except StudioError as error:
        if error.status >= 500:  # noqa: PLR2004 - a failure of ours is no fault of the form
            raise
        return _page(visit, dataset, form=Form(fields, {}, error.message), status=error.status)
    return visit.go(f"/datasets/{dataset_id}")


@router.get("/datasets/{dataset_id}/export")
def export(visit: Look, dataset_id: Id) -> StreamingResponse:
    """Hand out all rows as chat JSONL."""
    name = export_name(visit.datasets.get(visit.identity, dataset_id))
    headers = {"Content-Disposition": f"attachment; filename*=utf-8''{quote(name, safe='')}"}
    return StreamingResponse(visit.datasets.export(visit.identity, dataset_id), media_type="application/jsonl", headers=headers)


@router.post("/datasets/{dataset_id}/delete")
def delete(visit: Act, dataset_id: Id) -> Response:
    """Drop a dataset."""
    visit.datasets.delete(visit.identity, dataset_id)
    return visit.go("/datasets")


def _list(visit: Visit, after: str | None) -> Response:
    page = visit.datasets.newest(visit.identity, limit=LIST_ROWS, after=after)
    lines = [datasets_view.Line(dataset) for dataset in page.items]
    return visit.page(
        "datasets/list.html", lines=lines, uses=visit.datasets.uses(page.items), has_more=page.has_more, after=after,
        max_bytes=visit.studio.max_upload_bytes, sample_offers=visit.studio.samples(visit.session).offers(visit.identity),
    )  # fmt: skip


def _page(visit: Visit, dataset: Dataset, *, after: int = -1, form: Form | None = None, status: int = 200) -> Response:
    live = dataset.status == DatasetStatus.IMPORTING
    rows = visit.datasets.rows(visit.identity, dataset.id, limit=PAGE_ROWS, after=after)
    return visit.page(
        "datasets/show.html",
        also=() if live or not visit.wants("dataset_now") else (*BLOCKS, "live"),
        status=status, dataset=dataset, line=datasets_view.Line(dataset), live=live, look=looks.dataset_look(dataset.status),
        reading=visit.datasets.reading(dataset) if live else None, used_by=visit.datasets.used_by(dataset),
        events=visit.datasets.events(dataset)[::-1], run_look=looks.run_look, form=form or datasets_view.mapping_form(dataset),
        columns=datasets_view.columns_of(dataset), can_map=datasets_view.can_map(dataset),
        rows=[(row, visit.studio.count_tokens(row.messages)) for row in rows.items], has_more=rows.has_more, after=after,
        shared_prompt=datasets_view.shared_prompt(rows.items),
        before=max(-1, after - PAGE_ROWS), page_rows=PAGE_ROWS, roles=datasets_view.ROLES,
    )  # fmt: skip
