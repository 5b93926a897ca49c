"""Models on the Hub: searched for when somebody asks, looked at before anything is fetched, and fetched."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from app.db.session import pause
from app.domain.catalog import SIZES
from app.domain.errors import StudioError
from app.domain.text import Text
from app.web import hub_view
from app.web.dependencies import Act, Look, Posted
from app.web.hub_view import Asked
from app.web.visit import Visit

router = APIRouter(include_in_schema=False)
HERE = "/models/hub"
KNOWN_OF = frozenset(
    {"disk_full", "being_cancelled", "remote_code", "unsafe_format", "gated_model", "unknown_model", "no_tokenizer", "incomplete"}
)
"""Refusals of a model that the Hub does tell of."""


@router.get("/models/hub")
def search_hub(visit: Look, asked: Annotated[Asked, Query()]) -> Response:
    """Search the Hub, if something is asked for; and show the downloads."""
    downloads = hub_view.downloads(visit)
    # The Hub may take its time.
    pause(visit.session)
    # The list of downloads is fetched again and again, and the Hub is asked for no more than once.
    found, wrong = (None, "") if visit.wants("downloads") else hub_view.found(visit, asked)
    return _page(visit, asked=asked, found=found, wrong=wrong, downloads=downloads)


@router.get("/models/hub/look")
def look_at_model(
    visit: Look, repo: Annotated[Text, Query(max_length=300)], revision: Annotated[Text | None, Query(max_length=200)] = None
) -> Response:
    """Show what would come of a model, and what stands against it."""
    pause(visit.session)
    return _look(visit, repo, revision)


@router.post("/models/hub/download")
def begin_download(visit: Look, fields: Posted) -> Response:
    """Have a model fetched; what forbids it is shown on its page."""
    repo, revision = fields.get("repo", "")[:300], fields.get("revision") or None
    pause(visit.session)
    try:
        visit.studio.download(visit.identity, repo, revision)
    except StudioError as error:
        return _look(visit, repo, revision, wrong=error)
    return visit.go(f"{HERE}#downloads")


@router.post("/models/hub/downloads/{download_id}/{action}")
def act_on_download(visit: Act, download_id: Annotated[str, Path(max_length=64)], action: Literal["cancel", "delete"]) -> Response:
    """Call a download off, or forget it with its files."""
    downloads = visit.studio.downloads(visit.session)
    (downloads.cancel if action == "cancel" else downloads.delete)(visit.identity, download_id)
    visit.session.flush()
    if visit.is_fragment:
        return _page(visit, asked=Asked(), found=None, wrong="", downloads=hub_view.downloads(visit))
    return visit.go(f"{HERE}#downloads")


def _look(visit: Visit, repo: str, revision: str | None, *, wrong: StudioError | None = None) -> Response:
    """Show a model with its scan; what an action was refused for stands above it, and alone where the Hub does not tell of the model."""
    looked, refusal = None, wrong
    # A Hub that has just refused to answer is not asked again at once.
    if wrong is None or wrong.code in KNOWN_OF:
        try:
            looked = visit.studio.hub_looks.look(visit.identity, repo, revision)
        except StudioError as error:
            refusal = wrong or error
    told = hub_view.shown(visit, looked) if looked else {}
    return visit.page(
        "models/look.html", status=refusal.status if refusal else 200, repo=repo, looked=looked, wrong=refusal.message if refusal else "",
        free=visit.studio.fetched.free_bytes(), endpoint=f"https://{visit.studio.hub.host}", **told,
    )  # fmt: skip


def _page(visit: Visit, **shown: Any) -> Response:
    return visit.page(
        "models/hub.html", hub=visit.studio.hub, sizes=SIZES, tasks=hub_view.TASKS, licences=hub_view.LICENCES,
        sorts=hub_view.SORTS, look_address=hub_view.look_address, **shown,
    )  # fmt: skip
