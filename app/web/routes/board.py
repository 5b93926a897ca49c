"""The board: everything that runs or waits, and who works on it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from app.web import looks, runs_view, workers_view
from app.web.dependencies import Look

router = APIRouter(include_in_schema=False)
PAGE_ROWS, LIVE_ROWS = 100, 100


@router.get("/board")
def show_board(visit: Look, after: Annotated[str | None, Query(max_length=64)] = None) -> Response:
    """Show all runs with state, owner, progress and reason, and the workers with their heartbeats."""
    page = visit.runs.newest(visit.identity, limit=PAGE_ROWS, after=after)
    live = sorted(visit.runs.live(visit.identity), key=looks.urgency) if after is None else []
    shown = {run.id for run in live}
    rest = [run for run in page.items if run.id not in shown]
    waiting = visit.runs.waiting_reasons(live[:LIVE_ROWS])
    return visit.page(
        "board/board.html",
        also=("board_workers", "board_counts"),
        live_lines=runs_view.lines(visit.overview.lines(live[:LIVE_ROWS]), waiting),
        more_live=max(0, len(live) - LIVE_ROWS),
        lines=runs_view.lines(visit.overview.lines(rest), waiting),
        has_more=page.has_more,
        last=page.items[-1].id if page.items else "",
        counts=visit.runs.counts(visit.identity),
        workers=workers_view.read(visit),
    )


@router.get("/workers")
def show_workers(visit: Look) -> Response:
    """Show who works here, and on what."""
    return visit.page("workers/workers.html", workers=workers_view.read(visit))
