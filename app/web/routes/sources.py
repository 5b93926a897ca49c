"""Datasets from outside: an address, a place on S3, or a dataset of the Hub of which one chooses parts."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from starlette.responses import Response

from app.db.session import pause
from app.domain.errors import StudioError
from app.domain.sources import HubSource
from app.domain.text import Text
from app.gateways.hub import HubDatasets
from app.web import sources_view
from app.web.dependencies import Act, Look, Posted
from app.web.visit import Visit

router = APIRouter(include_in_schema=False)


@router.get("/datasets/from")
def show_choices(
    visit: Look, repo: Annotated[Text, Query(max_length=200)] = "", revision: Annotated[Text, Query(max_length=200)] = ""
) -> Response:
    """Ask for a place; of a dataset on the Hub show what there is to choose."""
    if not repo:
        return _page(visit, "")
    # The Hub may take its time.
    pause(visit.session)
    try:
        source = sources_view.chosen(repo, revision, "")
        token = visit.studio.hub_looks.token(visit.identity)
        listing = HubDatasets.from_environment().look(source.repo, source.revision, token)
    except StudioError as error:
        return _page(visit, repo, wrong=error.message, status=error.status)
    return visit.page("datasets/from.html", place=repo, wrong="", listing=listing, choices=sources_view.choices_of(listing))


@router.post("/datasets/from")
def fetch(visit: Act, fields: Posted) -> Response:
    """Have a dataset fetched; of one on the Hub, ask what of it first."""
    place = fields.get("place", "")
    try:
        source = sources_view.source_at(place)
        if isinstance(source, HubSource):
            if "choice" not in fields:
                return visit.go(f"/datasets/from?{urlencode({'repo': source.repo})}")
            source = sources_view.chosen(source.repo, fields.get("revision", ""), fields["choice"])
        name = fields.get("name", "").strip() or sources_view.name_of(source)
        dataset = visit.datasets.create_from(visit.identity, name=name, source=source)
    except StudioError as error:
        if error.status >= 500:  # noqa: PLR2004 - a failure of ours is no fault of the form
            raise
        return _page(visit, place, wrong=error.message, status=error.status)
    return visit.go(f"/datasets/{dataset.id}")


def _page(visit: Visit, place: str, *, wrong: str = "", status: int = 200) -> Response:
    return visit.page("datasets/from.html", status=status, place=place, wrong=wrong, listing=None, choices=[])
