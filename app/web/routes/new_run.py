"""The page that starts a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from starlette.responses import Response

from app.db.session import pause, unit_of_work
from app.domain.errors import StudioError
from app.domain.preflight import PreflightFailed
from app.domain.specs import PRESETS
from app.web import looks, new_run, preflight_view, pricing
from app.web.dependencies import Look, Posted
from app.web.new_run import Draft
from app.web.visit import Visit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.web.preflight_view import Card

router = APIRouter(include_in_schema=False)


@router.get("/runs/new")
def show_form(visit: Look, origin: Annotated[str | None, Query(alias="from", max_length=64)] = None, *, look: bool = False) -> Response:
    """Show the form, empty or filled in from a run; as fields change, its card is drawn anew. What it would learn comes after that."""
    given = dict(visit.request.query_params)
    if origin:
        given = new_run.values_like(visit, visit.runs.get(visit.identity, origin)) | given
    return _page(visit, new_run.draft(visit, given), look=look, looked=given.get("looked", ""))


@router.post("/runs")
def launch(visit: Look, fields: Posted) -> Response:
    """Launch the run; or show the form again, as it was typed, with the errors beside the fields."""
    draft = new_run.draft(visit, fields)
    if draft.request is None:
        return _page(visit, draft, status=422)
    rows = preflight_view.Rows(draft.request.dataset_id, draft.dataset.version_id if draft.dataset else None)
    pause(visit.session)
    try:
        # The look at the rows comes first and takes a moment: until it is over this unit of work has locked nothing.
        with unit_of_work(visit.studio.engine) as session:
            run = visit.studio.runs(session).launch(visit.identity, draft.request)
    except PreflightFailed as error:
        cards = preflight_view.cards_of(error.faults, rows, draft.form.values)
        return _page(visit, draft, status=error.status, looked=fields.get("looked", ""), refused=cards)
    except StudioError as error:
        if error.status >= 500:  # noqa: PLR2004 - a failure of ours is no fault of the form
            raise
        return _page(visit, Draft(draft.form.refused(error, new_run.KNOWN), draft.preset, draft.datasets), status=error.status)
    return visit.go(f"/runs/{run.id}")


def _page(visit: Visit, draft: Draft, status: int = 200, *, look: bool = False, looked: str = "", refused: Sequence[Card] = ()) -> Response:
    values, key = draft.form.values, new_run.look_key(draft)
    # What was looked at already is known, and stays on the page while other fields change.
    seen = new_run.look(visit, draft) if look or (key and looked == key) else None
    return visit.page(
        "runs/new.html", also=("run_head",) if visit.wants("run_form") else (), status=status,
        draft=draft, form=draft.form, presets=PRESETS, preset_words=new_run.PRESET_WORDS,
        bases=visit.studio.bases.listed(), all_settings=new_run.all_settings(), workers=visit.workers.alive(),
        seen=seen, came_alone=visit.wants("run_preflight"), refused=refused, look_key=key,
        look_at=f"/runs/new?{urlencode(values | {'look': 1})}",
        priced=pricing.price(visit, draft, seen), look=looks.dataset_look, label=new_run.field_label,
        exports=[dataset for dataset in (draft.dataset, draft.held_out) if dataset] if draft.spec else [],
    )  # fmt: skip
