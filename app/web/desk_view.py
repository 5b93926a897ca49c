"""A dataset's page: its heading and tabs, the chips of problems, and what its address asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple
from urllib.parse import urlencode

from fastapi import Path
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from app.domain.datasets import DatasetStatus, ImportReport, Split
from app.domain.figures import in_bytes
from app.domain.guide import NEEDED, Advice, Goal, advise, likely_goal
from app.domain.problems import EXPLAINED, Trouble
from app.domain.runs import RunStatus
from app.domain.specs import settings_for
from app.domain.text import Text
from app.services.desk_rows import Wanted
from app.services.goals import Goals
from app.web import looks, words
from app.web.datasets_view import can_map

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.db import Dataset, Import
    from app.services.desk import Desk
    from app.web.looks import Look

DatasetId = Annotated[str, Path(max_length=64)]
LENGTHS = (512, 1024, 2048, 4096, 8192)
MAX_LENGTH = settings_for(None, {}).max_length
FILES_NAMED = 2


def _given(value: object) -> object:
    """A form sends the fields that nobody filled in too."""
    return None if value == "" else value


class Asked(BaseModel):
    """What the address of a dataset's rows asks for."""

    model_config = ConfigDict(frozen=True)

    problem: Annotated[Trouble | None, BeforeValidator(_given)] = None
    q: Text = Field("", max_length=200)
    split: Annotated[Split | None, BeforeValidator(_given)] = None
    max_tokens: int = Field(MAX_LENGTH, ge=16, le=1_048_576)
    after: int = Field(-1, ge=-1, le=2**53)
    goal: Annotated[Goal | None, BeforeValidator(_given)] = None

    @property
    def wanted(self) -> Wanted:
        """Which rows these are."""
        return Wanted(problem=self.problem, q=self.q.strip(), split=self.split, max_tokens=self.max_tokens)

    @property
    def is_filtered(self) -> bool:
        """Whether anything but the order in the file decides what is shown."""
        return bool(self.problem or self.q.strip() or self.split)

    def address(self, **changes: Any) -> str:
        """Return the query of these rows with something else asked for; changed filters begin at the first page."""
        asked = self.model_dump(mode="json", exclude_defaults=True) | {"after": None} | changes
        query = urlencode({name: value for name, value in asked.items() if value not in (None, "")})
        return f"?{query}" if query else ""


@dataclass(frozen=True)
class Chip:
    """A problem with its count, as a link that narrows the rows to it."""

    problem: Trouble | None
    title: str
    count: int
    tone: str
    icon: str
    query: str
    is_on: bool

    @property
    def is_quiet(self) -> bool:
        """Whether there is nothing to see behind it."""
        return self.problem is not None and not self.count and not self.is_on


class Tab(NamedTuple):
    """One of the pages of a dataset."""

    name: str
    href: str
    label: str
    is_here: bool


class GoalLink(NamedTuple):
    """A goal as a link that shows what it needs."""

    href: str
    label: str
    is_chosen: bool


@dataclass(frozen=True)
class Task:
    """What a worker is doing with a dataset, in words, and how far it is; `share` is None while that is not known."""

    words: str
    detail: str
    share: float | None
    can_cancel: bool


@dataclass(frozen=True)
class Head:
    """The heading of all of a dataset's pages."""

    dataset: Dataset
    look: Look
    tabs: list[Tab]
    tab: str
    task: Task | None
    sentence: str
    advice: Advice | None
    last_change: str
    can_undo: bool
    is_checked: bool
    is_checking: bool
    query: Mapping[str, str]

    @property
    def here(self) -> str:
        """The dataset's address."""
        return f"/datasets/{self.dataset.id}"

    @property
    def address(self) -> str:
        """The address of the page one is on."""
        return f"{self.here}/{self.tab}" if self.tab else self.here

    @property
    def report(self) -> ImportReport | None:
        """What reading the files found."""
        return ImportReport.model_validate(self.dataset.report) if self.dataset.report else None

    @property
    def is_live(self) -> bool:
        """Whether the page changes by itself."""
        return self.task is not None

    @property
    def has_rows(self) -> bool:
        """Whether there are rows."""
        return self.dataset.version is not None

    @property
    def summary(self) -> Mapping[str, Any]:
        """The sum of what was found."""
        return self.dataset.version.findings if self.dataset.version else {}

    @property
    def goal_title(self) -> str:
        """The goal the advice is for, in words."""
        return NEEDED[self.advice.goal].title if self.advice else ""

    @property
    def goals(self) -> list[GoalLink]:
        """The goals one may have, for a menu; the filters of the page stay."""
        chosen = self.advice.goal if self.advice else None
        return [
            GoalLink(f"{self.address}?{urlencode({**self.query, 'goal': goal})}", f"{needed.title}: {needed.about}", goal is chosen)
            for goal, needed in NEEDED.items()
        ]


def head_of(desk: Desk, dataset: Dataset, tab: str, goal: Goal | None = None, *, query: Mapping[str, str] | None = None) -> Head:
    """Return the heading of a dataset's page; `query` is what the page's address asks for."""
    version = dataset.version
    work = desk.work(dataset)
    ready = dataset.status == DatasetStatus.READY and version is not None
    wanted = Goals(desk.session).of_project(dataset.project_id).what or goal_of(dataset)
    return Head(
        dataset=dataset, look=looks.dataset_look(dataset.status), tabs=_tabs(dataset, tab), tab=tab, task=_task(dataset, work),
        sentence=_sentence(dataset), advice=advise(goal or wanted, version.rows) if ready and version else None,
        last_change=str(version.step.get("words", "")) if version and version.parent_id else "", can_undo=desk.can_undo(dataset),
        is_checked=bool(version and version.findings), is_checking=bool(work and work.task.get("kind") == "check"),
        query=query or {},
    )  # fmt: skip


def goal_of(dataset: Dataset) -> Goal:
    """Return what a dataset seems to be for."""
    found = dataset.version.findings if dataset.version else {}
    answers = (found.get("tokens") or {}).get("answer") or {}
    mean = answers["sum"] / found["rows"] if answers and found.get("rows") else None
    return likely_goal(is_text=dataset.format == "text", has_labels=bool(found.get("labels")), mean_answer_tokens=mean)


def _tabs(dataset: Dataset, here: str) -> list[Tab]:
    names = {"": "Columns" if dataset.status == DatasetStatus.NEEDS_MAPPING else "Rows"}
    if dataset.version:
        names |= {"statistics": "Statistics", "preflight": "Preflight"}
    if dataset.version and can_map(dataset):
        names["mapping"] = "Columns" if dataset.format == "table" else "System prompt"
    names["history"] = "Files and history"
    return [Tab(name, f"/datasets/{dataset.id}" + (f"/{name}" if name else ""), label, name == here) for name, label in names.items()]


def files_of(dataset: Dataset) -> str:
    """Return the files a dataset is made of, in words."""
    named = [file.filename for file in dataset.files] or [dataset.filename]
    shown, more = named[:FILES_NAMED], len(named) - FILES_NAMED
    return " and ".join(shown) if more <= 0 else f"{', '.join(shown)} and {words.plural(more, 'more file')}"


def _sentence(dataset: Dataset) -> str:
    files = files_of(dataset)
    if dataset.status == DatasetStatus.NEEDS_MAPPING:
        return f"The columns of {files} do not tell by their names what is asked and what is answered."
    if dataset.status == DatasetStatus.FAILED:
        return f"{files} could not be used."
    if dataset.version is None:
        return f"{files}: rows appear when the reading is done."
    return f"{words.plural(dataset.version.rows, 'row')} from {files}. {_to_look_at(dataset)}".strip()


def _to_look_at(dataset: Dataset) -> str:
    found = dataset.version.findings if dataset.version else {}
    aside = dataset.report.get("problem_count", 0)
    set_aside = f"{words.plural(aside, 'row was', 'rows were')} set aside." if aside else ""
    if not found:
        return set_aside
    flagged = found.get("flagged", 0)
    looked = f"{words.plural(flagged, 'row wants', 'rows want')} a look." if flagged else "No row wants a look."
    return f"{looked} {set_aside}"


DOING = {
    "fetch": ("Being fetched", "Waiting for a worker to fetch it"),
    "import": ("Being read", "Waiting for a worker to read the file"),
    "append": ("Being added", "Waiting for a worker to read the files"),
    "check": ("Being looked at for problems", "Waiting for a worker to look for problems"),
    "fix": ("Being changed", "Waiting for a worker to change the rows"),
}


def _task(dataset: Dataset, work: Import | None) -> Task | None:
    if work is None:
        return Task("Being read", "", None, can_cancel=False) if dataset.status == DatasetStatus.IMPORTING else None
    kind = str(work.task.get("kind", "import"))
    doing, waiting = DOING.get(kind, DOING["import"])
    if work.status == RunStatus.CANCELLING:
        return Task("Being called off", "", None, can_cancel=False)
    if work.status == RunStatus.QUEUED:
        return Task(waiting, "", None, can_cancel=True)
    if not work.done_bytes or not work.total_bytes:
        return Task(doing, "A worker has begun.", None, can_cancel=True)
    share = min(1.0, work.done_bytes / work.total_bytes)
    rows = f"{words.plural(work.rows_read, 'row')} so far." if work.rows_read else ""
    # Looking and changing count rows where reading and fetching count bytes.
    read = f"{in_bytes(work.done_bytes)} of {in_bytes(work.total_bytes)} read, {rows}".removesuffix(", ")
    return Task(doing, read if kind in {"import", "append", "fetch"} else rows, share, can_cancel=True)


def chips_of(asked: Asked, counts: Mapping[Trouble, int], total: int, *, is_checked: bool) -> list[Chip]:
    """Return the chips, all rows first; before anybody looked only those of rows set aside are known."""
    all_rows = Chip(None, "All", total, "", "", asked.address(problem=None), asked.problem is None)
    known = [trouble for trouble in EXPLAINED if is_checked or trouble.is_aside]
    found = [_chip(asked, trouble, counts.get(trouble, 0)) for trouble in known]
    return [all_rows, *sorted(found, key=lambda chip: not chip.count)]


def _chip(asked: Asked, trouble: Trouble, count: int) -> Chip:
    title, _, weight = EXPLAINED[trouble]
    icon = ("failed" if weight == "bad" else "waiting") if count else ""
    return Chip(trouble, title, count, weight if count else "none", icon, asked.address(problem=str(trouble)), asked.problem is trouble)


def lengths_with(chosen: int) -> list[int]:
    """Return the lengths a menu offers, the chosen one among them."""
    return sorted({*LENGTHS, chosen})


def explained(problem: Trouble | None, count: int, summary: Mapping[str, Any]) -> tuple[str, str]:
    """Return the bold count and the sentence why it matters, for the bar above the rows."""
    if problem is None:
        return "", ""
    title, why, _ = EXPLAINED[problem]
    named = f"{title}: {words.plural(count, 'row')}"
    groups = (summary.get("groups") or {}).get(GROUP_NAMES.get(problem, ""), 0)
    return named + (f" in {words.plural(groups, 'group')}" if groups and count else ""), why


GROUP_NAMES = {Trouble.EXACT_DUPLICATE: "exact", Trouble.NEAR_DUPLICATE: "near", Trouble.OTHER_ANSWER: "other_answer"}
GROUPED = frozenset({*GROUP_NAMES, Trouble.LEAK, Trouble.NEAR_LEAK})
