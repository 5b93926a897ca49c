"""Models of the Hub as pages show them: what is searched for, what a search found, what a scan says, and downloads on their way."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote, urlencode

from pydantic import BaseModel, BeforeValidator, Field

from app.domain.base_models import is_hub_id
from app.domain.catalog import SIZES, Size
from app.domain.errors import StudioError
from app.domain.hub_models import Found, Search, SortBy, Task
from app.domain.quotes import sample_run
from app.domain.repository import Level
from app.domain.runs import ENDED, RunStatus
from app.domain.text import Text
from app.services.estimates import Estimates
from app.web import estimate_view, looks, models_view
from app.web.estimate_view import Planned, Priced
from app.web.looks import Look

if TYPE_CHECKING:
    from app.db import Download
    from app.domain.architectures import Architecture
    from app.domain.hub_models import Looked
    from app.web.models_view import One
    from app.web.visit import Visit

SORTS = {SortBy.DOWNLOADS: "most downloaded", SortBy.LIKES: "most liked", SortBy.NEWEST: "newest"}
TASKS = {Task.TEXT_GENERATION: "writes text", Task.IMAGE_TEXT: "reads pictures too"}
LICENCES = ("apache-2.0", "mit", "llama3.3", "llama3.2", "gemma", "other")
"""Licences that many models have, by the Hub's names."""
LEVEL_LOOKS = {Level.STOP: Look("Stop", "failed", "bad"), Level.WARN: Look("Mind", "waiting", "wait"), Level.NOTE: Look("Note", "book")}
DOWNLOAD_LOOKS = looks.RUN_LOOKS | {
    RunStatus.RUNNING: Look("Fetching", "download", "run"), RunStatus.SUCCEEDED: Look("Here", "check", "ok"),
    RunStatus.FAILED: Look("Broke off", "failed", "bad"),
}  # fmt: skip
SHOWN = 20
SHOWN_FILES = 40


def _none(value: object) -> object:
    """A form sends the fields that nobody filled in too."""
    return None if value == "" else value


class Asked(BaseModel):
    """What the address of the search asks for; without `q` nobody is asked, since a search contacts the Hub."""

    q: Text | None = Field(None, max_length=100)
    size: Annotated[Size | None, BeforeValidator(_none)] = None
    task: Annotated[Task | None, BeforeValidator(_none)] = None
    licence: Text = Field("", max_length=60)
    sort: SortBy = SortBy.DOWNLOADS
    cursor: Text = Field("", max_length=2000)

    @property
    def search(self) -> Search:
        """What the Hub is asked."""
        _, least, most = SIZES[self.size] if self.size else ("", 0.0, float("inf"))
        return Search(
            text=self.q or "", task=self.task, licence=self.licence, sort=self.sort, cursor=self.cursor,
            min_parameters=round(least) if least else None, max_parameters=None if most == float("inf") else round(most),
        )  # fmt: skip

    def following(self, cursor: str) -> str:
        """Return the address of the next page."""
        given = self.model_dump(mode="json", exclude_none=True) | {"cursor": cursor}
        return f"/models/hub?{urlencode({name: value for name, value in given.items() if value or name == 'q'})}"

    @property
    def named(self) -> str:
        """A model's whole name, where that is what was typed."""
        typed = (self.q or "").strip().removeprefix("https://huggingface.co/")
        return typed if is_hub_id(typed) else ""


@dataclass(frozen=True)
class Line:
    """A download in the list."""

    row: Download

    @property
    def status(self) -> RunStatus:
        """Its state."""
        return RunStatus(self.row.status)

    @property
    def look(self) -> Look:
        """How its state is shown."""
        return DOWNLOAD_LOOKS[self.status]

    @property
    def is_live(self) -> bool:
        """Whether it goes on."""
        return self.status not in ENDED

    @property
    def can_be_called_off(self) -> bool:
        """Whether it may be cancelled."""
        return self.is_live and self.status != RunStatus.CANCELLING

    @property
    def can_go_on(self) -> bool:
        """Whether another try may help: what has come of it is still there."""
        return self.status == RunStatus.FAILED

    @property
    def look_address(self) -> str:
        """Where the model's scan is shown."""
        return look_address(self.row.repo)


def look_address(repo: str) -> str:
    """Return where a model's scan is shown."""
    return f"/models/hub/look?repo={quote(repo, safe='')}"


def downloads(visit: Visit) -> list[Line]:
    """Return the project's downloads, newest first."""
    return [Line(row) for row in visit.studio.downloads(visit.session).newest(visit.identity, limit=SHOWN).items]


def found(visit: Visit, asked: Asked) -> tuple[Found | None, str]:
    """Return what a search finds, or why it finds nothing; neither where nothing was asked for."""
    if asked.q is None:
        return None, ""
    try:
        return visit.studio.hub_looks.search(visit.identity, asked.search), ""
    except StudioError as error:
        return None, error.message


def shown(visit: Visit, looked: Looked) -> dict[str, Any]:
    """Return what the page of a look draws: the scan, what the model measures, and what a sample run on it would take."""
    bases = models_view.bases_of(visit)
    one = models_view.one(bases.on_hub(looked), bases)
    files = sorted(looked.scan.wanted, key=lambda file: -file.size)
    findings = [(LEVEL_LOOKS[finding.level], finding.message) for finding in looked.scan.findings]
    return {
        "is_here": visit.studio.fetched.has(looked.model.id, looked.commit), "coming": _coming(visit, looked),
        "files": files[:SHOWN_FILES], "more_files": max(0, len(files) - SHOWN_FILES), "findings": findings, "one": one,
        "four_bits": _four_bits(one.base.architecture), "priced": _priced(visit, one) if looked.scan.objection is None else Priced(),
    }  # fmt: skip


def _coming(visit: Visit, looked: Looked) -> Line | None:
    """Return the download that is under way of what was looked at."""
    row = visit.studio.downloads(visit.session).under_way(visit.identity, looked.model.id, looked.commit)
    return Line(row) if row else None


def _four_bits(arch: Architecture | None) -> tuple[str, str]:
    """Return whether a model's weights can be held in four bits, and how it comes."""
    if arch is None:
        return "not possible", ""
    if arch.quantised:
        return "not possible", "it is stored quantised already" + ("" if arch.is_for_answers_alone else "; LoRA unpacks it")
    # Rounded down: what is refused never reads as much as the limit.
    held = f"of its layers' matrices QLoRA can hold {int(arch.four_bit_share * 100)} % so"
    return "possible" if arch.takes_four_bits else "not possible", held


def _priced(visit: Visit, one: One) -> Priced:
    """Return what a run with the usual settings takes on each device; nothing of what nobody can measure, or is never trained so."""
    arch = one.base.architecture
    if arch is None or arch.is_for_answers_alone:
        return Priced()
    service = Estimates(visit.session)
    settings, work, assumptions = sample_run(arch)
    found = estimate_view.shown(Planned(arch, settings, work), service.targets(visit.identity), service.prices(visit.identity), {})
    return replace(found, assumed=[said for said in assumptions if said != arch.gap])  # that stands above all of it
