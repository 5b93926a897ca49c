"""The catalogue of base models: choose one, look at one."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from app.web import hub_view, models_view
from app.web.dependencies import Look
from app.web.models_view import Asked

router = APIRouter(include_in_schema=False)


@router.get("/models")
def show_models(visit: Look, asked: Annotated[Asked, Query()]) -> Response:
    """List the base models that the address asks for, and the one that its answers lead to."""
    # What a download's bell asks for is shown already; a form changes what the next bell asks for, and what the other form carries along.
    beside = ("downloads",) if visit.is_refetch else ("downloads", "models_refetch", "models_narrowed", "models_answers")
    downloads = [line for line in hub_view.downloads(visit) if line.is_live]
    answer = visit.page("models/list.html", also=beside, downloads=downloads, **models_view.shown(visit, asked))
    if visit.request.headers.get("hx-source", "").startswith("form#"):
        # A form sends its empty fields too.
        answer.headers["HX-Replace-Url"] = asked.href
    return answer


@router.get("/models/folder")
def show_folder(visit: Look, path: Annotated[str, Query(max_length=1000)]) -> Response:
    """Show a model folder of this machine."""
    bases = models_view.bases_of(visit)
    return visit.page("models/show.html", one=models_view.one(bases.folder(path), bases))


@router.get("/models/{slug}")
def show_model(visit: Look, slug: Annotated[str, Path(max_length=100)]) -> Response:
    """Show a model of the catalogue."""
    bases = models_view.bases_of(visit)
    return visit.page("models/show.html", one=models_view.one(bases.get(slug), bases))
