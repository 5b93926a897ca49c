"""The other pages of one dataset: its statistics, what a run would learn from it, its files and history."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from pydantic import ValidationError
from starlette.responses import Response

from app.domain.errors import Invalid
from app.domain.masking import KINDS
from app.domain.specs import PRESETS, STARTER, settings_for
from app.web import datasets_view, desk_view, looks, preflight_view, statistics_view
from app.web.dependencies import Act, Look
from app.web.desk_view import Asked, DatasetId
from app.web.forms import messages_of

router = APIRouter(include_in_schema=False)


@router.get("/datasets/{dataset_id}/statistics")
def show_statistics(visit: Look, dataset_id: DatasetId, asked: Annotated[Asked, Query()]) -> Response:
    """Show how long rows and answers are, which labels and languages there are, and what was found."""
    dataset = visit.datasets.get(visit.identity, dataset_id)
    head = desk_view.head_of(visit.desk, dataset, "statistics", asked.goal, query=visit.request.query_params)
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


@router.get("/datasets/{dataset_id}/preflight")
def show_preflight(visit: Look, dataset_id: DatasetId, asked: Annotated[Asked, Query()], *, look: bool = False) -> Response:
    """Show what a run on these rows would learn, token by token; the look itself comes after the page."""
    dataset = visit.datasets.get(visit.identity, dataset_id)
    head = desk_view.head_of(visit.desk, dataset, "preflight", asked.goal, query=visit.request.query_params)
    chosen = preflight_view.chosen(visit.request.query_params, STARTER)
    try:
        settings = settings_for(chosen.preset, chosen.settings)
    except ValidationError as error:
        raise Invalid("; ".join(messages_of(error).values()), param="max_length") from None
    bases = visit.studio.bases.listed()
    seen = preflight_view.look(visit, dataset, chosen.base_model, settings, chosen.values) if look else None
    found = seen.preflight if seen else None
    drawn = [("Tokens in a row", found.tokens), ("Learnt tokens in a row", found.answers)] if found else []
    return visit.page(
        "datasets/preflight.html", dataset=dataset, head=head, chosen=chosen, seen=seen, presets=PRESETS, max_length=settings.max_length,
        bases=bases, look=f"{head.here}/preflight?{urlencode(chosen.values | {'look': 1})}",
        train=f"/runs/new?{urlencode(chosen.values | {'dataset_id': dataset_id})}",
        histograms=[shown for title, spread in drawn if spread and (shown := statistics_view.histogram(title, spread.model_dump()))],
    )  # fmt: skip


@router.get("/datasets/{dataset_id}/history")
def show_history(visit: Look, dataset_id: DatasetId, asked: Annotated[Asked, Query()]) -> Response:
    """Show the files a dataset was made of, what happened to it, and which runs have used it."""
    dataset = visit.datasets.get(visit.identity, dataset_id)
    head = desk_view.head_of(visit.desk, dataset, "history", asked.goal, query=visit.request.query_params)
    has_map = bool(dataset.version and dataset.version.file("mask_map"))
    return visit.page(
        "datasets/history.html", also=() if head.is_live or not visit.wants("dataset_now") else ("dataset_events", "live"),
        dataset=dataset, head=head, line=datasets_view.Line(dataset), events=visit.datasets.events(dataset),
        used_by=visit.datasets.used_by(dataset), run_look=looks.run_look, has_mask_map=has_map,
    )  # fmt: skip


@router.post("/datasets/{dataset_id}/delete")
def delete(visit: Act, dataset_id: DatasetId) -> Response:
    """Drop a dataset."""
    visit.datasets.delete(visit.identity, dataset_id)
    return visit.go("/datasets")
