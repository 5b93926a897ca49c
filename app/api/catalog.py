"""REST of the catalogue of base models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from app.api.dependencies import ReadSession, StudioDep, authenticated
from app.domain.architectures import Architecture
from app.domain.catalog import Asked, Licence, Modality, Need, Size, Task
from app.domain.text import Text
from app.services.bases import Bases, Fit
from app.services.workers import Workers

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from app.services.bases import Base, Here
    from app.services.studio import Studio

router = APIRouter(prefix="/api/v1/catalog", tags=["models"], dependencies=[Depends(authenticated)])
Slug = Annotated[str, Path(max_length=100)]


class CatalogQuery(BaseModel):
    """What the list is narrowed to; what is left out narrows nothing."""

    model_config = ConfigDict(extra="forbid")

    size: Size | None = Field(None, description="tiny: up to 1 billion parameters, small: 1 to 4, medium: 5 to 10, large: more.")
    licence: Text = Field("", max_length=40, examples=["apache-2.0"])
    task: Task | None = None
    language: Text = Field("", max_length=40, description="In English.", examples=["German"])
    q: Text = Field("", max_length=100, description="Words of a name, Hub id, family or maker.")
    fits: bool = Field(False, description="Only what can be trained with QLoRA, at least tightly, on a device that a worker reports.")

    @property
    def asked(self) -> Asked:
        """What the catalogue is asked."""
        return Asked(size=self.size, licence=self.licence, task=self.task, language=self.language, words=self.q)


class FitOut(BaseModel):
    """Whether something fits the devices here."""

    verdict: Literal["yes", "tight", "no", "unknown"]
    takes_bytes: int = Field(description="On that device; on a GPU that nobody knows where no worker has reported one.")
    reason: str = Field(examples=["Takes about 5.1 GB; NVIDIA L4 has 24.2 GB."])


class HereOut(BaseModel):
    """Whether a base can be trained and answers here, with rows of up to 1,024 tokens."""

    qlora: FitOut
    lora: FitOut
    answers: FitOut = Field(description="In 4 bits (GGUF Q4_K_M).")


class MeasuresOut(BaseModel):
    """What a base's config.json says of its measures."""

    family: str
    layers: int
    parameters: int = Field(description="As they are counted from it, tied weights once.")
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    tied: bool = Field(description="Whether embeddings and head are one matrix.")
    context: int = Field(description="Tokens.")
    experts: int
    active_experts: int
    embedding_parameters: int
    vision_parameters: int
    lora_parameters: int = Field(description="Trained by an adapter of rank 16 on all linear layers but the head.")
    takes_four_bits: bool = Field(description="Whether QLoRA can hold its matrices in 4 bits; of experts in one block it cannot.")
    quantised: str = Field(description="How its weights are stored quantised already; empty where they are not.", examples=["fp8"])
    exact: bool
    gap: str = Field(description="Why it is not exact, or what is left out.")


class CatalogModelOut(BaseModel):
    """A base model."""

    slug: str | None = Field(description="Null for a model folder that the catalogue does not know.")
    base_model: str = Field(description="What a run names it by.", examples=["Qwen/Qwen3-4B"])
    name: str
    family: str
    maker: str
    parameters: int | None = Field(description="All of them, tied weights once.")
    active_parameters: int | None = Field(description="Those that one token is multiplied with: fewer in mixtures of experts.")
    approximate: bool = Field(description="Whether the size is its maker's word, since nobody has seen its config.json.")
    measures: MeasuresOut | None
    licence: Licence | None = Field(description="What it allows, in plain words; no legal advice.")
    superpower: str
    use_when: str
    languages: list[str]
    language_count: int
    modalities: list[Modality]
    tasks: list[Task]
    chat_template: bool | None
    gated: bool = Field(description="Whether its maker wants one to agree to the licence on the Hub first.")
    thinks: bool
    is_here: bool = Field(description="Whether its files are on this machine.")
    fits: HereOut | None = Field(description="Null where its measures are not known.")


class CatalogList(BaseModel):
    """The catalogue's models, then the folders it does not know."""

    data: list[CatalogModelOut]


class ChoiceOut(BaseModel):
    """What the questions lead to."""

    model: CatalogModelOut
    reasons: list[str]
    unmet: list[Need] = Field(description="What was asked and the model was not made for.")
    runner_up: CatalogModelOut


class Questions(BaseModel):
    """The four questions."""

    model_config = ConfigDict(extra="forbid")

    reasoning: bool = Field(False, description="Does it have to think a problem through?")
    multilingual: bool = Field(False, description="Does it have to speak more than English?")
    tools: bool = Field(False, description="Does it have to call tools?")
    prefer: Literal["any", "smallest", "newest"] = Field("any", description="Should it rather be as small or as new as possible?")

    @property
    def needs(self) -> list[Need]:
        """What the answers ask of a base."""
        said = {Need.REASONING: self.reasoning, Need.MULTILINGUAL: self.multilingual, Need.TOOLS: self.tools}
        return [need for need, wanted in said.items() if wanted] + ([] if self.prefer == "any" else [Need(self.prefer)])


@router.get("", operation_id="list_catalog")
def list_catalog(studio: StudioDep, session: ReadSession, query: Annotated[CatalogQuery, Query()]) -> CatalogList:
    """List the base models that Hone knows, and the model folders of this machine; no network is asked."""
    studio.catalog.check(query.asked)
    bases = _bases(studio, session)
    shown = [_shown(base, bases.here(base)) for base in bases.listed(query.asked)]
    return CatalogList(data=[one for one in shown if not query.fits or _fits(one)])


@router.get("/choose", operation_id="choose_base")
def choose_base(studio: StudioDep, session: ReadSession, questions: Annotated[Questions, Query()]) -> ChoiceOut:
    """Return the model that the answers lead to, why, and the next best of another family."""
    bases, choice = _bases(studio, session), studio.catalog.choose(questions.needs)
    model, runner_up = (bases.get(each.slug) for each in (choice.model, choice.runner_up))
    return ChoiceOut(
        model=_shown(model, bases.here(model)), reasons=list(choice.reasons), unmet=list(choice.unmet),
        runner_up=_shown(runner_up, bases.here(runner_up)),
    )  # fmt: skip


@router.get("/{slug}", operation_id="get_catalog_model")
def get_catalog_model(studio: StudioDep, session: ReadSession, slug: Slug) -> CatalogModelOut:
    """Show a base model of the catalogue."""
    bases = _bases(studio, session)
    base = bases.get(slug)
    return _shown(base, bases.here(base))


def _bases(studio: Studio, session: Session) -> Bases:
    return Bases(studio, Workers(session).known())


def _fits(shown: CatalogModelOut) -> bool:
    return shown.fits is not None and bool({shown.fits.qlora.verdict, shown.fits.lora.verdict} & {"yes", "tight"})


def _shown(base: Base, here: Here | None) -> CatalogModelOut:
    model, arch = base.model, base.architecture
    return CatalogModelOut(
        slug=model.slug if model else None, base_model=base.name, name=model.name if model else base.name,
        family=model.family_title if model else (arch.family if arch else ""), maker=model.maker if model else "",
        parameters=base.parameters, active_parameters=arch.computed_parameters if arch else None, approximate=base.is_approximate,
        measures=measures_out(arch) if arch else None, licence=model.licence if model else None,
        superpower=model.superpower if model else "", use_when=model.use_when if model else "",
        languages=list(model.languages) if model else [], language_count=model.languages_spoken if model else 0,
        modalities=list(model.modalities) if model else [], tasks=list(model.tasks) if model else [], chat_template=base.has_template,
        gated=bool(model and model.gated), thinks=bool(model and model.thinks), is_here=base.local is not None,
        fits=here_out(here) if here else None,
    )  # fmt: skip


def measures_out(arch: Architecture) -> MeasuresOut:
    """Return what a base measures as REST tells it."""
    worked_out = {name: getattr(arch, name) for name in ("parameters", "embedding_parameters", "takes_four_bits")}
    told = arch.model_dump(include=set(MeasuresOut.model_fields)) | worked_out
    return MeasuresOut.model_validate(told | {"lora_parameters": arch.lora_parameters(16)})


def here_out(here: Here) -> HereOut:
    """Return whether a base can be trained and answers here as REST tells it."""
    return HereOut(qlora=_fit(here.qlora), lora=_fit(here.lora), answers=_fit(here.answers))


def _fit(fit: Fit) -> FitOut:
    return FitOut(verdict=fit.verdict, takes_bytes=fit.takes, reason=fit.words)
