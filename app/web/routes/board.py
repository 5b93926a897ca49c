"""The board: what runs, waits and has ended, under filters, on a desk or on a wall; and the workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import RedirectResponse, Response

from app.db.base import utc_now
from app.domain.labels import RunChange
from app.domain.queueing import Priority
from app.services.board import Board, BoardFilter, Group
from app.services.paging import Page
from app.web import board_view, workers_view
from app.web.board_view import BoardLine, Shown, address
from app.web.dependencies import Act, Look, Posted

if TYPE_CHECKING:
    from app.db import Run
    from app.web.visit import Visit

router = APIRouter(include_in_schema=False)
RUNNING_ROWS, WAITING_ROWS, DONE_ROWS = 20, 12, 12
ALONE_ROWS = 50
"""How many rows a group has that is looked at alone."""
WALL_RUNNING, WALL_WAITING, WALL_WORKERS = 6, 4, 6
FORM = "form#board-filter"


@router.get("/board")
def show_board(
    visit: Look, after: Annotated[str | None, Query(max_length=64)] = None, wall: Annotated[str, Query(max_length=8)] = ""
) -> Response:
    """Show the runs that filters leave, by group, and the workers; `wall`: for a screen on a wall."""
    asked = visit.request.query_params
    wanted = board_view.read_filter(asked)
    if "" in asked.values() and not visit.is_fragment:
        # A form sends its empty fields too; what one shares should be short.
        return RedirectResponse(address(wanted, wall=wall, after=after or ""), 303)
    board = Board(visit.session, visit.identity, wanted)
    return _wall(visit, board) if wall else _board(visit, board, after)


@router.post("/board/move")
def move_run(visit: Act, fields: Posted) -> Response:
    """Put a waiting run somewhere else in the queue, or give it another priority; then show the board as it is filtered."""
    wish = board_view.read_wish(fields)
    if isinstance(wish.what, Priority):
        run = visit.runs.change(visit.identity, wish.run_id, RunChange(priority=wish.what))
        return _done(visit, f"The priority of {run.name} is {wish.what}.")
    moved = visit.queues.move(visit.identity, wish.run_id, wish.what)
    return _done(visit, f"{moved.run.name} stands at place {moved.place} of {moved.number} in the queue.")


@router.post("/board/queue")
def change_queue(visit: Act, fields: Posted) -> Response:
    """Hold, release or limit a queue; then show the board as it is filtered."""
    visit.queues.change(visit.identity, fields.get("queue", ""), board_view.read_change(fields))
    return _done(visit, "The queue is held." if fields.get("held") else "The queue was changed.")


def _done(visit: Visit, told: str) -> Response:
    visit.session.flush()
    wanted = board_view.read_filter(visit.request.query_params)
    return _board(visit, Board(visit.session, visit.identity, wanted), None, told) if visit.is_fragment else visit.go(address(wanted))


@router.get("/workers")
def show_workers(visit: Look) -> Response:
    """Show who works here, and on what."""
    return visit.page("workers/workers.html", workers=workers_view.read(visit))


def _board(visit: Visit, board: Board, after: str | None, told: str = "") -> Response:
    wanted, found = board.wanted, _groups(board, after)
    shown = {run.id: run for runs in found.values() for run in runs.items}
    queues = visit.queues.on_the_board()
    lines = {line.run.id: line for line in board_view.lines(visit, board, list(shown.values()), queues[0])}
    numbers, workers = board.numbers(), workers_view.read(visit)
    by_form = visit.request.headers.get("hx-source", "") == FORM
    page = visit.page(
        "board/board.html",
        # The form changes what is looked at, so the stream's own link changes with it; a doorbell leaves the form alone.
        also=("board_totals", *(("board_told",) if told else ()), *(("board_choices", "board_chips", "live") if by_form else ())),
        wanted=wanted, shown=Shown(wanted), here=address(wanted), after=after, numbers=numbers, choices=board.choices,
        windows=board_view.WINDOWS,
        told=told, queues=queues, move=address(wanted, "/board/move"), change=address(wanted, "/board/queue"),
        wall=address(wanted, wall="1"), clear=address(BoardFilter(group=wanted.group)),
        groups=[_section(group, page, lines, numbers[group]) for group, page in found.items()],
        older=lambda last: address(wanted, after=last), totals=board.totals(), workers=workers, alive=workers_view.alive(workers),
    )  # fmt: skip
    if by_form:
        page.headers["HX-Replace-Url"] = address(wanted)
    return page


def _groups(board: Board, after: str | None) -> dict[Group, Page[Run]]:
    """Read the groups that are on the board; an older page has none but ended runs."""
    wanted, found = board.wanted, {}
    if wanted.shows(Group.RUNNING) and not after:
        found[Group.RUNNING] = Page(board.running(_rows(wanted, RUNNING_ROWS)), has_more=False)
    if wanted.shows(Group.WAITING) and not after:
        found[Group.WAITING] = Page(board.waiting(_rows(wanted, WAITING_ROWS)), has_more=False)
    if wanted.shows(Group.DONE):
        found[Group.DONE] = board.done(_rows(wanted, DONE_ROWS), after)
    return found


def _rows(wanted: BoardFilter, rows: int) -> int:
    return ALONE_ROWS if wanted.group else rows


def _section(group: Group, page: Page[Run], lines: dict[str, BoardLine], number: int) -> dict[str, Any]:
    rows = [lines[run.id] for run in page.items]
    return {
        "group": group, "title": board_view.GROUPS[group], "lines": rows, "number": number, "has_more": page.has_more,
        "hidden": number - len(rows),
    }  # fmt: skip


def _wall(visit: Visit, board: Board) -> Response:
    running = board.running(WALL_RUNNING)
    lines = board_view.lines(visit, board, [*running, *board.waiting(WALL_WAITING)])
    workers, numbers = workers_view.read(visit), board.numbers()
    alive = workers_view.alive(workers)
    at_work, queue = lines[: len(running)], lines[len(running) :]
    return visit.page(
        "board/wall.html",
        shown=Shown(board.wanted), here=address(board.wanted, wall="1"), leave=address(board.wanted), numbers=numbers, running=at_work,
        more_running=numbers[Group.RUNNING] - len(at_work), waiting=queue, more_waiting=numbers[Group.WAITING] - len(queue),
        totals=board.totals(), workers=workers[:WALL_WORKERS], more_workers=len(workers) - len(workers[:WALL_WORKERS]), alive=alive,
        lost=len(workers) - alive, drawn=utc_now(),
    )  # fmt: skip
