"""REST of the project's goal, of what it is advised to do, and of recipes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, ConfigDict, Field

from app.api.datasets import DatasetCreated
from app.api.dependencies import IdentityDep, ReadSession, StudioDep, WriteSession
from app.domain.datasets import DatasetStatus
from app.domain.goals import Answers
from app.domain.ladder import Ladder, Rung, Verdict
from app.domain.narrowing import Flaw, hints
from app.domain.recipes import Recipe, RowSchema
from app.domain.specs import Preset

if TYPE_CHECKING:
    from app.db import GoalRow

router = APIRouter(prefix="/api/v1/goal", tags=["goal"])
Slug = Annotated[str, Path(max_length=100, examples=["support-emails"])]


class RungOut(BaseModel):
    """One of the four things one can do, the cheapest first."""

    rung: Rung
    verdict: Verdict
    reason: str


class ChangeOut(BaseModel):
    """Something that would make the advice another one."""

    what: str
    then: str = Field(description="The headline of that advice.")


class HintOut(BaseModel):
    """What keeps the task from being narrow."""

    flaw: Flaw
    title: str
    why: str


class AdviceOut(BaseModel):
    """What to do, and why."""

    headline: str = Field(examples=["Don’t fine-tune yet: write a careful prompt first"])
    reason: str
    says_tune: bool = Field(description="Whether to tune now.")
    rungs: list[RungOut]
    cautions: list[str]
    changes: list[ChangeOut]


class GoalOut(BaseModel):
    """The project's goal and what follows from it."""

    answers: Answers
    saved_at: datetime | None = Field(description="None while nobody has saved a goal.")
    advice: AdviceOut
    task_hints: list[HintOut]


class RecipeOut(BaseModel):
    """A starting point for one kind of task."""

    model_config = ConfigDict(from_attributes=True)

    slug: str
    title: str
    goal: str
    output: str
    description: str
    task: str
    row: RowSchema
    metrics: list[str] = Field(description="What to measure on held-out rows; the first is what counts.")
    preset: Preset
    settings: dict[str, Any] = Field(description="Settings that differ from the preset's.")
    bases: list[str] = Field(description="Base models that suit it, by their names in the catalogue; smaller first.")
    examples: str = Field(description="How many examples are mostly enough.", examples=["about 500"])
    sample_rows: int = Field(description="Rows of its sample if nobody says how many.")
    most_sample_rows: int


class RecipeList(BaseModel):
    """Every recipe that comes with this version."""

    data: list[RecipeOut]


class SampleRequest(BaseModel):
    """How many rows of a recipe's sample, and by which dice."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rows: int | None = Field(None, ge=50, le=2_000, description="As many as the recipe says when left out.")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="The same seed makes the same rows.")


@router.get("", operation_id="get_goal")
def get_goal(studio: StudioDep, session: ReadSession, identity: IdentityDep) -> GoalOut:
    """Return what the project's people answered, and what is advised."""
    goals = studio.goals(session)
    answers = goals.answers(identity)
    return _out(answers, goals.get(identity), goals.advice(identity, answers))


@router.put("", operation_id="set_goal")
def set_goal(studio: StudioDep, session: WriteSession, identity: IdentityDep, answers: Answers) -> GoalOut:
    """Keep the answers in place of earlier ones, and return what is advised."""
    goals = studio.goals(session)
    saved = goals.save(identity, answers)
    session.flush()
    session.refresh(saved)
    return _out(answers, saved, goals.advice(identity, answers))


@router.get("/recipes", operation_id="list_recipes")
def list_recipes(studio: StudioDep, _: IdentityDep) -> RecipeList:
    """List the recipes."""
    return RecipeList(data=[_recipe(recipe) for recipe in studio.recipes.listed()])


@router.get("/recipes/{slug}", operation_id="get_recipe")
def get_recipe(studio: StudioDep, _: IdentityDep, slug: Slug) -> RecipeOut:
    """Return one recipe."""
    return _recipe(studio.recipes.find(slug))


@router.post(
    "/recipes/{slug}/sample", status_code=201, operation_id="add_recipe_sample", responses={200: {"description": "It was there already."}}
)
def add_recipe_sample(
    studio: StudioDep, identity: IdentityDep, response: Response, slug: Slug, wanted: SampleRequest | None = None
) -> DatasetCreated:
    """Make a dataset of a recipe's sample rows; a worker reads it like an upload. The same rows are not added twice: 200 then."""
    wanted = wanted or SampleRequest()
    dataset, is_new = studio.add_recipe_sample(identity, slug, rows=wanted.rows, seed=wanted.seed)
    response.status_code = 201 if is_new else 200
    return DatasetCreated(id=dataset.id, name=dataset.name, status=DatasetStatus(dataset.status))


def _out(answers: Answers, saved: GoalRow | None, ladder: Ladder) -> GoalOut:
    return GoalOut(
        answers=answers, saved_at=datetime.fromtimestamp(saved.updated_at, UTC) if saved else None, advice=_advice(ladder),
        task_hints=[HintOut(**hint._asdict()) for hint in hints(answers.task, answers.output)],
    )  # fmt: skip


def _advice(ladder: Ladder) -> AdviceOut:
    return AdviceOut(
        headline=ladder.headline, reason=ladder.reason, says_tune=ladder.says_tune, cautions=list(ladder.cautions),
        rungs=[RungOut(rung=step.rung, verdict=step.verdict, reason=step.reason) for step in ladder.steps],
        changes=[ChangeOut(**change._asdict()) for change in ladder.changes],
    )  # fmt: skip


def _recipe(recipe: Recipe) -> RecipeOut:
    fields = recipe.model_dump(mode="json", include=set(RecipeOut.model_fields))
    return RecipeOut(**fields, examples=recipe.examples, sample_rows=recipe.sample.rows, most_sample_rows=recipe.sample.most)
