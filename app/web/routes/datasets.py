"""Pages of datasets: bring files, look at what they hold, take it away."""

from __future__ import annotations

from functools import partial
from pathlib import PurePath
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, RedirectResponse, Response

from app.db import Dataset
from app.domain.aside import MAX_ROWS_KEPT
from app.domain.datasets import DatasetStatus
from app.domain.errors import StudioError
from app.domain.fixes import offers
from app.domain.problems import EXPLAINED
from app.gateways.uploads import receive_upload
from app.services.desk_rows import DeskRows
from app.services.exports import export
from app.web import datasets_view, desk_view, fix_view
from app.web.dependencies import Caller, Look, studio_of
from app.web.desk_view import Asked, DatasetId
from app.web.routes import mapping
from app.web.rows_view import grid_of
from app.web.visit import Visit

router = APIRouter(include_in_schema=False)
LIST_ROWS, PAGE_ROWS = 50, 20


@router.get("/datasets")
def show_datasets(visit: Look, after: Annotated[str | None, Query(max_length=64)] = None) -> Response:
    """List the project's datasets, newest first, and take files."""
    page = visit.datasets.newest(visit.identity, limit=LIST_ROWS, after=after)
    lines = [datasets_view.Line(dataset) for dataset in page.items]
    return visit.page(
        "datasets/list.html", lines=lines, uses=visit.datasets.uses(page.items), has_more=page.has_more, after=after,
        max_bytes=visit.studio.max_upload_bytes, sample_offers=visit.studio.samples(visit.session).offers(visit.identity),
    )  # fmt: skip


@router.post("/datasets")
async def upload(request: Request, caller: Caller) -> Response:
    """Take files as they stream in, as one dataset; the page's script gets JSON, a plain form is sent on to the new dataset."""
    return await _take(request, caller, to=None)


@router.post("/datasets/{dataset_id}/files")
async def append(request: Request, caller: Caller, dataset_id: DatasetId) -> Response:
    """Take files whose rows come behind those there are."""
    return await _take(request, caller, to=dataset_id)


async def _take(request: Request, caller: Caller, *, to: str | None) -> Response:
    studio = studio_of(request)
    by_script = request.headers.get("accept", "") == "application/json"
    try:
        received = await receive_upload(request.stream(), request.headers, studio.incoming, studio.max_upload_bytes)
        name = received.fields.get("name") or PurePath(received.files[0].filename).stem
        dataset = await run_in_threadpool(partial(studio.bring, caller, received.files, name=name, to=to))
    except StudioError as error:
        # The page's script shows the reason beside the file; a plain form gets the error page.
        if by_script:
            return JSONResponse({"message": error.message}, error.status)
        raise
    address = f"/datasets/{dataset.id}"
    return JSONResponse({"href": address}, 201) if by_script else RedirectResponse(address, 303)


@router.get("/datasets/{dataset_id}")
def show_dataset(visit: Look, dataset_id: DatasetId, asked: Annotated[Asked, Query()]) -> Response:
    """Show the rows of a dataset: all, or those with a problem, that say something, of one side."""
    dataset = visit.datasets.get(visit.identity, dataset_id)
    if dataset.status == DatasetStatus.NEEDS_MAPPING:
        # What waited for the reading to end finds another page there.
        return visit.go(f"/datasets/{dataset_id}") if visit.wants("dataset_now") and visit.is_refetch else mapping.page(visit, dataset)
    return _rows_page(visit, dataset, asked)


@router.get("/datasets/{dataset_id}/export")
def export_rows(
    visit: Look, dataset_id: DatasetId, kind: Annotated[str, Query(alias="format", pattern="^(jsonl|csv)$")] = "jsonl"
) -> StreamingResponse:
    """Hand out all rows as JSONL, or as a table."""
    made = export(visit.datasets, visit.identity, dataset_id, kind)
    headers = {"Content-Disposition": f"attachment; filename*=utf-8''{quote(made.filename, safe='')}"}
    return StreamingResponse(made.content, media_type=made.media_type, headers=headers)


def _rows_page(visit: Visit, dataset: Dataset, asked: Asked) -> Response:
    head = desk_view.head_of(visit.desk, dataset, "", asked.goal, query=visit.request.query_params)
    rows = DeskRows(visit.desk, dataset)
    counts = rows.counts(asked.max_tokens)
    total = dataset.version.rows if dataset.version else 0
    problem = asked.problem
    bold, why = desk_view.explained(problem, counts.get(problem, 0) if problem else 0, head.summary)
    found = rows.page(asked.wanted, after=asked.after, limit=PAGE_ROWS)
    is_aside = (problem is not None and problem.is_aside) or dataset.status == DatasetStatus.FAILED
    aside, more_aside = rows.aside(problem, after=max(0, asked.after), limit=PAGE_ROWS) if is_aside else ([], False)
    offered = offers(problem, head.summary, max_tokens=asked.max_tokens) if problem and counts.get(problem) else []
    names = [file.filename for file in dataset.files] or [dataset.filename]
    return visit.page(
        "datasets/show.html",
        also=_beside(visit, head),
        dataset=dataset, head=head, asked=asked, chips=desk_view.chips_of(asked, counts, total, is_checked=head.is_checked),
        bold=bold, why=why, weight=EXPLAINED[problem].weight if problem else "", count=counts.get(problem, 0) if problem else 0,
        offers=[(offer, fix_view.address_of(head.here, offer, asked)) for offer in offered], grouped=desk_view.GROUPED,
        grid=grid_of(found.rows, visit.studio.count_tokens, asked.max_tokens), next_after=found.next_after, page_rows=PAGE_ROWS,
        aside=aside, more_aside=more_aside, next_aside=max(0, asked.after) + PAGE_ROWS, lengths=desk_view.lengths_with(asked.max_tokens),
        not_kept=rows.not_kept(problem) if problem else 0, most_kept=MAX_ROWS_KEPT,
        origin=dataset.mapping or {}, file_name=lambda place: names[place] if place < len(names) else dataset.filename,
    )  # fmt: skip


def _beside(visit: Visit, head: desk_view.Head) -> tuple[str, ...]:
    """Return which other parts of the page change: its rows with the end of some work, links that keep the filters with these."""
    if visit.wants("dataset_rows"):
        return ("dataset_guide",)
    return () if head.is_live or not visit.wants("dataset_now") else ("dataset_rows", "live")
