"""The page that lays runs side by side, and its files; where the choice is not right yet, it helps to choose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query
from fastapi.encoders import jsonable_encoder
from fastapi.responses import JSONResponse, Response

from app.domain.comparison import LEAST, MOST, parse_ids
from app.domain.errors import NotFound
from app.services.comparison import compare, document
from app.services.waiting import waits
from app.web import looks, runs_view
from app.web.compare_view import Beside
from app.web.dependencies import Look

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.db import Run
    from app.web.visit import Visit

router = APIRouter(include_in_schema=False)
Ids = Annotated[list[str], Query(default_factory=list, max_length=100)]
OFFERED = 40


@router.get("/runs/compare")
def show_comparison(visit: Look, ids: Ids) -> Response:
    """Show runs side by side; for fewer than two, or more than six, offer a choice with what was named ticked already."""
    wanted = parse_ids(ids)
    found, missing = _found(visit, wanted)
    if missing or not LEAST <= len(wanted) <= MOST:
        return _choose(visit, found, missing, len(wanted))
    beside = _beside(visit, wanted)
    live = any(looks.is_live(run.status) for run in beside.comparison.runs)
    return visit.page(
        "runs/compare.html", also=("compare_scores", "compare_chart", "compare_values", "live"), beside=beside, live=live,
        whole=not visit.is_fragment,
    )  # fmt: skip


@router.get("/runs/compare.csv")
def take_csv(visit: Look, ids: Ids) -> Response:
    """Hand out scores and settings as a table."""
    content = _beside(visit, parse_ids(ids)).csv()
    return Response(content, media_type="text/csv", headers={"Content-Disposition": 'attachment; filename="comparison.csv"'})


@router.get("/runs/compare.json")
def take_json(visit: Look, ids: Ids) -> Response:
    """Hand out everything, curves too."""
    content = jsonable_encoder(document(_beside(visit, parse_ids(ids)).comparison))
    return JSONResponse(content, headers={"Content-Disposition": 'attachment; filename="comparison.json"'})


def _beside(visit: Visit, ids: Sequence[str]) -> Beside:
    comparison = compare(visit.session, visit.runs, visit.identity, ids)
    waiting = waits(visit.session, comparison.runs)
    return Beside(comparison, runs_view.lines(visit.overview.lines(comparison.runs), waiting))


def _found(visit: Visit, ids: Sequence[str]) -> tuple[list[Run], int]:
    """Return those runs that are the project's, and how many are not."""
    found = []
    for run_id in ids[: MOST + OFFERED]:
        try:
            found.append(visit.runs.get(visit.identity, run_id))
        except NotFound:
            continue
    return found, len(ids[: MOST + OFFERED]) - len(found)


def _choose(visit: Visit, chosen: Sequence[Run], missing: int, wanted: int) -> Response:
    """Offer runs to compare: those already named, their kin, then the newest ones."""
    kin = {run.version_id for run in chosen} | {run.eval_version_id for run in chosen if run.eval_version_id}
    origins = {run.cloned_from for run in chosen}
    newest = visit.runs.newest(visit.identity, limit=OFFERED * 2).items
    ticked = {run.id for run in chosen}
    others = sorted(
        (run for run in newest if run.id not in ticked), key=lambda run: (run.id not in origins, run.version_id not in kin), reverse=False
    )
    offered = [*chosen, *others][:OFFERED]
    status = 404 if missing else 422 if wanted > MOST else 200
    lines = runs_view.lines(visit.overview.lines(offered), {})
    return visit.page("runs/compare_choose.html", status=status, lines=lines, ticked=ticked, missing=missing, wanted=wanted, most=MOST)
