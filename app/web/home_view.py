"""The first page: how far the project is, step by step with the next action of each, and what needs a person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from app.domain.datasets import DatasetStatus
from app.domain.figures import in_bytes
from app.domain.guide import NEEDED
from app.domain.runs import ENDED, RunStatus
from app.services.clones import needs_a_person
from app.web import words

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from app.db import Dataset, Run, Webhook
    from app.domain.guide import Goal
    from app.services.datasets import Ready
    from app.services.overview import Totals
    from app.web.runs_view import Line

DISK_LOW_BYTES = 2_000_000_000
"""Less than the checkpoints of a few small runs."""
QUEUES = {"gpu": "train", "cpu": "read files"}


@dataclass(frozen=True)
class Step:
    """One step of the way: its number, and its next action; without one, what is missing before there is any."""

    title: str
    icon: str
    number: str
    text: str
    is_done: bool
    action: str = ""
    href: str = ""
    missing: str = ""
    is_passed: bool = False
    """Not done, and not asked for any more either: the way has gone on without it."""


@dataclass(frozen=True)
class Need:
    """Something that waits for a person."""

    icon: str
    tone: str
    text: str
    action: str
    href: str


@dataclass(frozen=True)
class Project:
    """What the first page is drawn from, newest first."""

    totals: Totals
    ready: Ready
    datasets: Sequence[Dataset]
    lines: Sequence[Line]
    tuned: Run | None
    missing_queues: Collection[str] = ()
    free_bytes: int | None = None
    silenced: Sequence[Webhook] = ()
    goal: Goal | None = None
    bases: int = 0

    @property
    def is_new(self) -> bool:
        """Whether nobody has brought anything yet."""
        return not self.totals.datasets and not self.totals.runs

    def with_status(self, status: DatasetStatus) -> list[Dataset]:
        """Return the datasets in one state."""
        return [dataset for dataset in self.datasets if dataset.status == status]


def headline(project: Project) -> str:
    """Return the state of the project in one sentence."""
    totals = project.totals
    if totals.running:
        return f"{words.plural(totals.running, 'run is', 'runs are')} learning just now"
    if totals.models:
        return f"{words.plural(totals.models, 'tuned model')} ready to ask"
    if project.ready.newest:
        return "Your data is in; train on it"
    if totals.datasets:
        return "Your data is in, and not ready yet"
    return "Bring a file of examples" if project.goal else "Begin with what the model is for"


def steps(project: Project) -> list[Step]:
    """Return the way so far."""
    return [_goal(project), _data(project), _model(project), _train(project), _chat(project)]


def next_step(way: Sequence[Step]) -> Step | None:
    """Return the step to take now: the first that is not done and can be; when all is done, the last."""
    possible = [step for step in way if step.action]
    return next((step for step in possible if not step.is_done and not step.is_passed), possible[-1] if possible else None)


def _goal(project: Project) -> Step:
    text = "What the model is for, and whether tuning is the right tool."
    if project.goal is None:
        # Who has brought data already knows what for: the way goes on from there.
        passed = not project.is_new
        return Step("Goal", "goal", "Not said yet", text, is_done=False, action="Say what it is for", href="/goal", is_passed=passed)
    return Step("Goal", "goal", NEEDED[project.goal].title, text, is_done=True, action="Look at the advice", href="/goal")


def _model(project: Project) -> Step:
    text = "The base that learns: its size and its licence decide where it may run."
    number = f"{words.plural(project.bases, 'base')} here"
    return Step("Model", "model", number, text, is_done=project.bases > 0, action="Choose a base", href="/models")


def _data(project: Project) -> Step:
    ready, text = project.ready, "Examples of questions and the answers you want."
    number = words.plural(ready.rows, "row") if ready.rows else words.plural(project.totals.datasets, "dataset")
    for dataset in filter(None, [ready.newest]):
        return Step("Data", "data", number, text, is_done=True, action=f"Look at {dataset.name}", href=f"/datasets/{dataset.id}")
    for status, action in ((DatasetStatus.NEEDS_MAPPING, "Map the columns of"), (DatasetStatus.IMPORTING, "Watch Hone read")):
        for dataset in project.with_status(status):
            return Step("Data", "data", number, text, is_done=False, action=f"{action} {dataset.name}", href=f"/datasets/{dataset.id}")
    return Step("Data", "data", number, text, is_done=False, action="Upload a dataset", href="/datasets#upload")


def _train(project: Project) -> Step:
    totals, text = project.totals, "A small adapter learns from them; the base model stays as it is."
    number = f"{totals.running} running" if totals.running else words.plural(totals.runs, "run")
    is_done = totals.models > 0
    for line in project.lines:
        if line.run.status == RunStatus.RUNNING:
            return Step("Train", "train", number, text, is_done, f"Watch {line.run.name}", f"/runs/{line.run.id}")
    for dataset in filter(None, [project.ready.newest]):
        return Step("Train", "train", number, text, is_done, f"Train on {dataset.name}", f"/runs/new?dataset_id={dataset.id}")
    return Step("Train", "train", number, text, is_done, missing="Needs a dataset whose rows are ready.")


def _chat(project: Project) -> Step:
    text = "Ask base and tuned model the same thing, side by side."
    number, tuned = words.plural(project.totals.models, "tuned model"), project.tuned
    if tuned is None:
        return Step("Chat", "chat", number, text, is_done=False, missing="Needs a run that has ended well.")
    return Step("Chat", "chat", number, text, is_done=False, action=f"Ask {tuned.name}", href=f"/chat?tuned={quote(tuned.model or '')}")


def needs(project: Project) -> list[Need]:
    """Return what waits for a person, most pressing first."""
    found = [
        Need("failed", "bad", f"{line.run.name} {line.run.status}: {line.why or 'see its log'}", "See why", f"/runs/{line.run.id}")
        for place, line in enumerate(project.lines)
        if needs_a_person(line.run) and not _is_made_good(line, project.lines[:place])
    ]
    found += [
        Need("waiting", "wait", f"{dataset.name}: say which columns hold question and answer", "Map columns", f"/datasets/{dataset.id}")
        for dataset in project.with_status(DatasetStatus.NEEDS_MAPPING)
    ]
    found += [
        Need("failed", "bad", f"{dataset.name}: {dataset.reason}", "See why", f"/datasets/{dataset.id}")
        for dataset in project.with_status(DatasetStatus.FAILED)
    ]
    found += [
        Need("workers", "wait", f"Work waits, but no worker is alive that could {QUEUES[queue]}.", "See workers", "/workers")
        for queue in project.missing_queues
    ]
    found += [
        Need(
            "bell",
            "bad",
            f"The webhook to {urlsplit(webhook.url).hostname} was switched off: {webhook.disabled_reason}",
            "See why",
            "/settings#webhooks",
        )
        for webhook in project.silenced
    ]
    if project.free_bytes is not None and project.free_bytes < DISK_LOW_BYTES:
        text = f"Only {in_bytes(project.free_bytes)} are left on the disk of the store: runs may fail. Delete what nobody needs."
        found.append(Need("failed", "bad", text, "See what runs hold", "/runs?sizes=1"))
    return found


def _is_made_good(failed: Line, later: Sequence[Line]) -> bool:
    """Return whether a later run on the same dataset succeeded where this one failed; one that is paused still waits."""
    return failed.run.status in ENDED and any(
        line.run.status == RunStatus.SUCCEEDED and line.dataset_id == failed.dataset_id for line in later
    )
