"""REST of models on the Hugging Face Hub: searched for, and looked at before anything of them is fetched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from app.api.catalog import HereOut, MeasuresOut, here_out, measures_out
from app.api.dependencies import IdentityDep, StudioDep
from app.db.session import reading
from app.domain.hub_models import Search
from app.domain.quotes import Quote, sample_run
from app.domain.repository import Level
from app.domain.text import Text
from app.services.bases import Bases
from app.services.estimates import Estimates
from app.services.workers import Workers

if TYPE_CHECKING:
    from typing import Any

    from app.domain.hub_models import HubModel, Looked
    from app.services.accounts import Identity
    from app.services.studio import Studio

router = APIRouter(prefix="/api/v1/hub/models", tags=["models"])


class HubModelOut(BaseModel):
    """A model as the Hub tells of it; what it does not tell is null."""

    id: str = Field(examples=["acme/small-1b"])
    downloads: int = Field(description="Of the last 30 days, as the Hub counts.")
    likes: int
    licence: str | None
    parameters: int | None = Field(description="Weights, as its safetensors files say.")
    gated: bool = Field(description="Whether its owners let people in one by one.")
    task: str | None
    updated: str | None
    tags: list[str]


class HubModelList(BaseModel):
    """A page of a search."""

    data: list[HubModelOut]
    cursor: str | None = Field(description="Leads to the next page; null at the end.")


class RepositoryFileOut(BaseModel):
    """A file of a repository."""

    path: str
    size: int = Field(description="Bytes.")
    sha256: str | None


class FindingOut(BaseModel):
    """What the scan has to say."""

    level: Level = Field(description="stop: it is not fetched; warn: know it first; note: good to know.")
    code: str = Field(examples=["remote_code", "unsafe_format", "gated_model", "no_licence"])
    message: str


class LookedOut(BaseModel):
    """A model at one commit, scanned: what would come here, what is left out, what there is to say."""

    model: HubModelOut
    commit: str
    may_be_fetched: bool
    size: int = Field(description="Bytes that would come.")
    size_left_out: int = Field(description="Bytes that stay on the Hub: pickles, programs, other formats.")
    files: list[RepositoryFileOut] = Field(description="What would come.")
    findings: list[FindingOut]
    measures: MeasuresOut | None = Field(
        description="What its config.json says at this commit, or `measures_of`; null where nobody can say."
    )
    measures_of: str | None = Field(
        description="Slug of the catalogue's model whose measures these are where config.json cannot be read; null where they are its own.",
        examples=["llama-3.2-3b-instruct"],
    )
    here: HereOut | None = Field(
        description="Whether it can be trained and answers on the devices here; null where nobody can say, or the scan stops it."
    )
    estimate: Quote | None = Field(
        description="What a usual run over 1,000 examples would take; it says what it assumes. Null where it cannot be trained."
    )


@router.get("", operation_id="search_hub_models")
def search_hub_models(studio: StudioDep, identity: IdentityDep, wanted: Annotated[Search, Query()]) -> HubModelList:
    """Search the Hub for models with safetensors; 503 without the net, offline, or when the Hub was asked too often."""
    found = studio.hub_looks.search(identity, wanted)
    return HubModelList(data=[_model(one) for one in found.models], cursor=found.cursor)


@router.get("/{repo:path}", operation_id="look_at_hub_model")
def look_at_hub_model(
    studio: StudioDep,
    identity: IdentityDep,
    repo: Annotated[Text, Path(max_length=200, examples=["acme/small-1b"])],
    revision: Annotated[Text | None, Query(max_length=200, description="A branch, tag or commit; default: the newest.")] = None,
) -> LookedOut:
    """Scan and measure a model before anything of it is fetched: nothing that could run is read, and no weight."""
    looked = studio.hub_looks.look(identity, repo, revision)
    return _looked(looked, _measured(studio, identity, looked))


def _model(one: HubModel) -> HubModelOut:
    return HubModelOut.model_validate(one, from_attributes=True)


def _measured(studio: Studio, by: Identity, looked: Looked) -> dict[str, Any]:
    """Return what a model measures, and what that means here; the Hub has answered, so no session has waited for it."""
    with reading(studio.engine) as session:
        bases = Bases(studio, Workers(session).known())
        base = bases.on_hub(looked)
        here, arch = bases.here(base), base.architecture
        told: dict[str, Any] = {"measures": measures_out(arch) if arch else None, "here": None, "estimate": None}
        told["measures_of"] = base.model.slug if base.model and arch and looked.config is None else None
        if arch is None or here is None or looked.scan.objection:
            return told
        settings, work, assumptions = sample_run(arch)
        quote = None if arch.is_for_answers_alone else Estimates(session).quote(by, base.name, (arch, settings, work), assumptions)
        return told | {"here": here_out(here), "estimate": quote}


def _looked(looked: Looked, measured: dict[str, Any]) -> LookedOut:
    scan = looked.scan
    return LookedOut(
        model=_model(looked.model), commit=looked.commit, may_be_fetched=scan.objection is None, size=scan.size,
        size_left_out=scan.size_left_out,
        files=[RepositoryFileOut(path=file.path, size=file.size, sha256=file.sha256) for file in scan.wanted],
        findings=[FindingOut.model_validate(finding, from_attributes=True) for finding in scan.findings], **measured,
    )  # fmt: skip
