"""The board: everything that runs or waits, and who works on it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from app.domain.runs import ENDED
from app.web import runs_view, workers_view
from app.web.dependencies import Look

router = APIRouter(include_in_schema=False)
PAGE_ROWS, LIVE_ROWS = 100, 100


@router.get("/board")
def show_board(visit: Look, after: Annotated[str | None, Query(max_length=64)] = None) -> Response:
    """Show all runs with state, owner, progress and reason, and the workers with their heartbeats."""
    ended = visit.runs.ended(visit.identity, limit=PAGE_ROWS, after=after)
    live = visit.runs.live(visit.identity, limit=LIVE_ROWS) if after is None else []
    counts = visit.runs.counts(visit.identity)
    unended = sum(number for status, number in counts.items() if status not in ENDED)
    return visit.page(
        "board/board.html",
        also=("board_workers", "board_counts"),
        after=after,
        live_lines=runs_view.lines(visit.overview.lines(live), visit.runs.waiting_reasons(live)),
        more_live=unended - len(live),
        lines=runs_view.lines(visit.overview.lines(ended.items), {}),
        has_more=ended.has_more,
        counts=counts,
        workers=workers_view.read(visit),
    )


@router.get("/workers")
def show_workers(visit: Look) -> Response:
    """Show who works here, and on what."""
    return visit.page("workers/workers.html", workers=workers_view.read(visit))
