"""The list of runs: find them, and delete those that are not needed any more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from app.services.disk import Disk
from app.services.waiting import waits
from app.web import looks, run_list, runs_view
from app.web.dependencies import MAX_CHOSEN, Act, Chosen, Look
from app.web.run_list import Asked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.services.removal import Candidate
    from app.web.visit import Visit

router = APIRouter(include_in_schema=False)
PAGE_ROWS = 50


@router.get("/runs")
def show_runs(visit: Look, asked: Annotated[Asked, Query()]) -> Response:
    """List the runs that the address asks for, newest first."""
    page = visit.runs.newest(visit.identity, wanted=asked.filter, limit=PAGE_ROWS, after=asked.after or None)
    lines = runs_view.lines(visit.overview.lines(page.items), waits(visit.session, page.items))
    beside = ("runs_chips",) if visit.is_refetch else ("runs_chips", "runs_refetch")
    answer = visit.page(
        "runs/list.html", also=beside, lines=lines, has_more=page.has_more, asked=asked, chips=run_list.chips(visit, asked),
        hidden=[] if lines else run_list.hidden(visit, asked), nothing_yet=not lines and run_list.is_empty_project(visit),
        sizes=Disk(visit.session).of_runs(page.items) if asked.sizes else None,
    )  # fmt: skip
    if visit.request.headers.get("hx-source", "").startswith("form#"):
        # What is typed need not be gone back through letter by letter; and a form sends its empty fields too.
        answer.headers["HX-Replace-Url"] = asked.href()
    return answer


@router.get("/runs/delete")
def ask_to_delete(visit: Look, ids: Annotated[list[str], Query(max_length=MAX_CHOSEN)] = []) -> Response:  # noqa: B006 - never changed
    """Name what would be gone with some runs, and what protects others, before anything is done."""
    return _page(visit, visit.removal.candidates(visit.identity, [one for each in ids for one in each.split(",")]), is_done=False)


@router.post("/runs/delete")
def delete_runs(visit: Act, ids: Chosen) -> Response:
    """Delete those of some runs that nothing protects; say what is gone, and of the others why they stay."""
    found = visit.removal.delete_many(visit.identity, ids)
    return _page(visit, found, is_done=True) if found else visit.go("/runs")


def _page(visit: Visit, found: Sequence[Candidate], *, is_done: bool) -> Response:
    free = [each for each in found if not each.reasons]
    held = [each for each in found if each.reasons]
    return visit.page(
        "runs/delete.html", free=free, held=held, is_done=is_done, look=looks.run_look,
        freed=sum(each.size.total for each in free), back=f"/runs/{found[0].run.id}" if len(found) == 1 and not is_done else "/runs",
    )  # fmt: skip
