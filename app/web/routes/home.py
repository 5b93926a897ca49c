"""The first page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter
from starlette.responses import Response

from app.domain.datasets import DatasetStatus
from app.domain.runs import RunStatus
from app.services.waiting import waits
from app.web import home_view, runs_view
from app.web.dependencies import Look
from app.web.home_view import Project

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.db import Dataset
    from app.web.visit import Visit

router = APIRouter(include_in_schema=False)
RECENT = 8


@router.get("/")
def show_home(visit: Look) -> Response:
    """Show the state of the project."""
    runs = visit.runs.newest(visit.identity, limit=RECENT).items
    datasets = visit.datasets.newest(visit.identity, limit=RECENT).items
    lines = runs_view.lines(visit.overview.lines(runs), waits(visit.session, runs))
    project = Project(
        visit.overview.totals(visit.identity), visit.datasets.ready(visit.identity), datasets, lines,
        visit.models.newest_tuned(visit.identity), _missing_queues(visit, datasets), _free_bytes(visit),
        visit.webhooks.silenced(visit.identity), visit.goals.answers(visit.identity).what, len(visit.studio.bases.listed()),
    )  # fmt: skip
    steps = home_view.steps(project)
    return visit.page(
        "home/home.html", project=project, headline=home_view.headline(project), steps=steps, next=home_view.next_step(steps),
        lines=lines, needs=home_view.needs(project),
    )  # fmt: skip


def _free_bytes(visit: Visit) -> int | None:
    """Return what is left on the disk of the store, unless nobody knows, or all pages warn of it already."""
    room = visit.studio.disks.known().get("store")
    return None if room is None or room.is_nearly_full else room.free


def _missing_queues(visit: Visit, datasets: Sequence[Dataset]) -> list[str]:
    """Return the queues in which work waits although nobody takes from them."""
    waiting = ["gpu"] if visit.runs.counts(visit.identity).get(RunStatus.QUEUED) else []
    waiting += ["cpu"] if any(dataset.status == DatasetStatus.IMPORTING for dataset in datasets) else []
    manned = {worker.queue for worker in visit.workers.alive()}
    return [queue for queue in waiting if queue not in manned]
