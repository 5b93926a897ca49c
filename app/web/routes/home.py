"""The first page: how far the project is, step by step, and what needs a person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastapi import APIRouter
from starlette.responses import Response

from app.domain.datasets import DatasetStatus
from app.domain.runs import RunStatus
from app.web import runs_view, words
from app.web.dependencies import Look

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.db import Dataset
    from app.services.overview import Totals

router = APIRouter(include_in_schema=False)
RECENT = 8


@dataclass(frozen=True)
class Step:
    """One step of the way with its one number and its next action."""

    title: str
    icon: str
    number: str
    text: str
    action: str
    href: str
    is_done: bool


@dataclass(frozen=True)
class Need:
    """Something that waits for a person."""

    icon: str
    tone: str
    text: str
    action: str
    href: str


@router.get("/")
def show_home(visit: Look) -> Response:
    """Show the state of the project."""
    totals = visit.overview.totals(visit.identity)
    runs = visit.runs.newest(visit.identity, limit=RECENT).items
    datasets = visit.datasets.newest(visit.identity, limit=RECENT).items
    lines = runs_view.lines(visit.overview.lines(runs), visit.runs.waiting_reasons(runs))
    return visit.page("home/home.html", totals=totals, lines=lines, steps=steps(totals, datasets), needs=needs(totals, lines, datasets))


def steps(totals: Totals, datasets: Sequence[Dataset]) -> list[Step]:
    """Return the way so far; the first step that is not done is the next one."""
    ready = any(dataset.status == DatasetStatus.READY for dataset in datasets)
    return [
        Step(
            "Data", "data", words.plural(totals.datasets, "dataset"), "Examples of questions and the answers you want.",
            "Look at the rows" if ready else "Upload a file", "/datasets", ready,
        ),
        Step(
            "Train", "train", words.plural(totals.runs, "run"), "A small adapter learns from them; the base model stays as it is.",
            "Start a run", "/runs/new", totals.models > 0,
        ),
        Step(
            "Chat", "chat", words.plural(totals.models, "tuned model"), "Ask base and tuned model the same thing, side by side.",
            "Compare answers", "/chat", False,
        ),
    ]  # fmt: skip


def _is_made_good(failed: runs_view.Line, later: Sequence[runs_view.Line]) -> bool:
    """Return whether a later run on the same dataset succeeded where this one failed."""
    return any(line.run.status == RunStatus.SUCCEEDED and line.dataset_id == failed.dataset_id for line in later)


def needs(totals: Totals, lines: Sequence[runs_view.Line], datasets: Sequence[Dataset]) -> list[Need]:
    """Return what waits for a person, most pressing first."""
    found = [
        Need("failed", "bad", f"{line.run.name} failed: {line.run.reason or 'see its log'}", "Look", f"/runs/{line.run.id}")
        for place, line in enumerate(lines)
        if line.run.status == RunStatus.FAILED and not _is_made_good(line, lines[:place])
    ]
    found += [
        Need("waiting", "wait", f"{dataset.name}: say which columns hold question and answer", "Map columns", f"/datasets/{dataset.id}")
        for dataset in datasets
        if dataset.status == DatasetStatus.NEEDS_MAPPING
    ]
    found += [
        Need("failed", "bad", f"{dataset.name}: {dataset.reason}", "Look", f"/datasets/{dataset.id}")
        for dataset in datasets
        if dataset.status == DatasetStatus.FAILED
    ]
    if totals.live_runs and not totals.workers:
        found.append(Need("workers", "wait", "Runs wait, but no worker is alive.", "See workers", "/workers"))
    return found
