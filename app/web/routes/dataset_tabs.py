"""The other pages of one dataset: its statistics, and its files and history."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from app.domain.masking import KINDS
from app.web import datasets_view, desk_view, looks, statistics_view
from app.web.dependencies import Act, Look
from app.web.desk_view import Asked, DatasetId

router = APIRouter(include_in_schema=False)


@router.get("/datasets/{dataset_id}/statistics")
def show_statistics(visit: Look, dataset_id: DatasetId, asked: Annotated[Asked, Query()]) -> Response:
    """Show how long rows and answers are, which labels and languages there are, and what was found."""
    dataset = visit.datasets.get(visit.identity, dataset_id)
    head = desk_view.head_of(visit.desk, dataset, "statistics", asked.goal)
    found = head.summary
    tokens = found.get("tokens") or {}
    drawn = [
        statistics_view.histogram("Tokens in a row", tokens.get("row")),
        statistics_view.histogram("Tokens in an answer", tokens.get("answer")),
    ]
    return visit.page(
        "datasets/statistics.html", also=() if head.is_live or not visit.wants("dataset_now") else ("dataset_figures", "live"),
        dataset=dataset, head=head, version=dataset.version, histograms=[each for each in drawn if each],
        labels=statistics_view.shares(found.get("labels")), languages=statistics_view.shares(found.get("languages")),
        personal=statistics_view.shares([[KINDS.get(kind, kind), many] for kind, many in (found.get("pii") or {}).items()]),
        shown=statistics_view.SHOWN,
    )  # fmt: skip


@router.get("/datasets/{dataset_id}/history")
def show_history(visit: Look, dataset_id: DatasetId, asked: Annotated[Asked, Query()]) -> Response:
    """Show the files a dataset was made of, what happened to it, and which runs have used it."""
    dataset = visit.datasets.get(visit.identity, dataset_id)
    head = desk_view.head_of(visit.desk, dataset, "history", asked.goal)
    has_map = bool(dataset.version and dataset.version.file("mask_map"))
    return visit.page(
        "datasets/history.html", also=() if head.is_live or not visit.wants("dataset_now") else ("dataset_events", "live"),
        dataset=dataset, head=head, line=datasets_view.Line(dataset), events=visit.datasets.events(dataset)[::-1],
        used_by=visit.datasets.used_by(dataset), run_look=looks.run_look, has_mask_map=has_map,
    )  # fmt: skip


@router.post("/datasets/{dataset_id}/delete")
def delete(visit: Act, dataset_id: DatasetId) -> Response:
    """Drop a dataset."""
    visit.datasets.delete(visit.identity, dataset_id)
    return visit.go("/datasets")
