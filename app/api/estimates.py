"""REST of estimates: what a run will take before it is launched, in memory, time, money and energy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from app.api.dependencies import IdentityDep, ReadSession, StudioDep
from app.domain.architectures import Architecture
from app.domain.datasets import DatasetStatus
from app.domain.errors import Conflict, Invalid
from app.domain.quotes import EXAMPLES, Quote, parameters_from, work_of_examples
from app.domain.specs import Preset, RunRequest, parse_settings
from app.domain.text import Text
from app.services.estimates import Estimates, assumed_lengths, work_of

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from app.domain.packs import Work
    from app.domain.specs import TrainingSettings
    from app.services.accounts import Identity
    from app.services.studio import Studio

router = APIRouter(prefix="/api/v1/estimates", tags=["estimates"])


class Question(BaseModel):
    """What is to be estimated: a base or a size, a dataset or a number of examples, and the settings of the run."""

    model_config = ConfigDict(extra="forbid")

    base_model: Text | None = Field(None, max_length=500, description="hone-starter, a folder, or a Hub id, as for a run.")
    params: Text | None = Field(None, max_length=40, description="Or how many parameters: 7e9, 7B.", examples=["7e9"])
    dataset_id: Text | None = Field(None, max_length=64, description="A dataset whose training rows are learnt.")
    examples: int | None = Field(None, description=f"Or how many examples; {EXAMPLES:,} when neither is given.")
    tokens: float | None = Field(None, description="Tokens of a mean example; of a dataset they are known.")
    preset: Preset | None = Field(None, description="Balanced when left out, as for a run.")


class Asked(Question):
    """A question as an address holds it: of the settings those that an estimate depends on most."""

    tuning: str | None = Field(None, description="lora, qlora or full.")
    rank: str | None = None
    batch_size: str | None = None
    max_length: str | None = None
    epochs: str | None = None
    max_steps: str | None = None
    micro_batch_size: str | None = None
    gradient_checkpointing: str | None = None
    precision: str | None = None
    optimiser: str | None = None
    adapter: str | None = None


class Posted(Question):
    """A question with any settings of a run."""

    settings: dict[Text, Any] = Field(default_factory=dict, description="Over the preset's, as for a run.")


@router.get("", operation_id="get_estimate")
def get_estimate(studio: StudioDep, session: ReadSession, identity: IdentityDep, asked: Annotated[Asked, Query()]) -> Quote:
    """Estimate a run on the workers' devices and on what can be rented; nothing is launched and nothing leaves the machine."""
    given = asked.model_dump(exclude_none=True, include=set(Asked.model_fields) - set(Question.model_fields))
    return _answer(studio, session, identity, asked, given)


@router.post("", operation_id="make_estimate")
def make_estimate(studio: StudioDep, session: ReadSession, identity: IdentityDep, body: Posted) -> Quote:
    """The same for any settings of a run."""
    return _answer(studio, session, identity, body, body.settings)


def _answer(studio: Studio, session: Session, by: Identity, asked: Question, given: dict[str, Any]) -> Quote:
    arch, name = _measured(studio, session, by, asked)
    request = RunRequest(name="estimate", base_model=name, dataset_id=asked.dataset_id or "none", preset=asked.preset, settings=given)
    settings = parse_settings(request)
    work, assumptions = _work(studio, session, by, asked, settings)
    if not arch.exact:
        assumptions.append(arch.gap)
    return Estimates(session).quote(by, name, (arch, settings, work), assumptions)


def _measured(studio: Studio, session: Session, by: Identity, asked: Question) -> tuple[Architecture, str]:
    if (asked.base_model is None) == (asked.params is None):
        raise Invalid("Say either base_model or params, not both.", param="base_model")
    if asked.params is not None:
        return Architecture.of_size(parameters_from(asked.params)), f"{asked.params.strip()} parameters"
    name = asked.base_model or ""
    found = studio.measures(session, by, name)
    if found is None:
        message = f"Nobody here knows the measures of {name[:200]!r}. Give its size instead (params), or fetch it first."
        raise Invalid(message, param="base_model", code="unknown_model")
    return found, name


def _work(studio: Studio, session: Session, by: Identity, asked: Question, settings: TrainingSettings) -> tuple[Work, list[str]]:
    if asked.dataset_id is None:
        return work_of_examples(EXAMPLES if asked.examples is None else asked.examples, asked.tokens, settings)
    for param in ("examples", "tokens"):
        if getattr(asked, param) is not None:
            raise Invalid(f"Say either dataset_id or {param}, not both.", param=param)
    dataset = studio.datasets(session).get(by, asked.dataset_id)
    if dataset.status != DatasetStatus.READY or dataset.version is None:
        raise Conflict("The dataset has no rows yet.", param="dataset_id", code="dataset_not_ready")
    work = work_of(dataset.version, settings, dataset.version.train_rows)
    assumed = assumed_lengths(dataset.version, work)
    return work, [assumed] if assumed else []
