"""REST of measurements before training: what prompts alone reach on a dataset's test rows."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from app.api.dependencies import After, Id, IdentityDep, Limit, ReadSession, StudioDep, WriteSession
from app.domain.baselines import MOST_ROWS, Advice, BaselineRequest, RowSaid, Way, cost_of
from app.domain.metrics import Metric, Shape
from app.domain.runs import RunStatus
from app.services.baselines import plan_of, results_of, seconds_left, verdict_of

if TYPE_CHECKING:
    from app.db import Baseline
    from app.domain.baselines import Measured, Plan

router = APIRouter(prefix="/api/v1/baselines", tags=["baselines"])


class ScoreOut(BaseModel):
    """A mean over rows with its 95 % interval; all between 0 and 1."""

    value: float
    low: float
    high: float


class MeasuredOut(BaseModel):
    """One model asked in one way, over all rows."""

    model: str
    outside: bool = Field(description="Whether it is an outside model.")
    method: Way
    rows: int
    scores: dict[Metric, ScoreOut] = Field(
        description="Depends on what expected answers look like; the result's `metric` is the one compared by."
    )
    seconds: float = Field(description="A mean answer.")
    prompt_tokens: int | None = Field(description="All rows together; null where the server does not count.")
    answer_tokens: int | None
    cost: float | None = Field(description="Of an outside model whose prices were given, in their currency.")
    cut: int = Field(description="Answers that would have gone on.")
    refused: int = Field(description="Rows without an answer; they count as wrong.")
    shortened: int = Field(description="Prompts with fewer examples than wanted, since more did not fit.")
    examples: float = Field(description="Examples in a mean prompt.")


class BaselineResults(BaseModel):
    """What came of a measurement."""

    shape: Shape = Field(description="What the expected answers look like, which decides what is measured.")
    metric: Metric = Field(description="What methods are compared by.")
    rows: int
    test_rows: int = Field(description="How many there were to choose from.")
    training_rows: int = Field(description="How many examples were chosen from.")
    notes: list[str]
    measured: list[MeasuredOut]
    sentence: str = Field(examples=["Tuning has to beat 71 % (±11): few-shot with 4 examples on hone-starter."])
    advice: Advice
    why: str = Field(description="The reason for the advice.")


class BaselineOut(BaseModel):
    """A measurement as it stands."""

    id: str
    status: RunStatus
    reason: str = Field(description="Why it failed; or while it runs, what it waits for, such as a GPU that trains.")
    error_code: str | None
    dataset_id: str
    dataset: str = Field(description="The dataset's name when it was asked for.")
    base_model: str
    outside: str | None = Field(description="The outside model's name.")
    methods: list[Way]
    k: int
    rows: int
    max_tokens: int
    done: int = Field(description="Answers so far.")
    total: int
    seconds_left: float | None
    created_at: datetime
    started_at: datetime | None = Field(
        description="When this attempt, or the last one, began to ask. It moves on every few seconds while the model is waited for "
        "(`reason` says so then), so that `seconds_left` goes by answers alone; `created_at` stays."
    )
    finished_at: datetime | None
    results: BaselineResults | None


class BaselineList(BaseModel):
    """Measurements, newest first."""

    data: list[BaselineOut]
    has_more: bool


class BaselineRows(BaseModel):
    """Rows with all that was answered to them, in the order they were asked."""

    data: list[RowSaid]
    has_more: bool


@router.post("", status_code=201, operation_id="create_baseline")
def create_baseline(studio: StudioDep, session: WriteSession, identity: IdentityDep, body: BaselineRequest) -> BaselineOut:
    """Have a base, and an outside model beside it, asked a dataset's test rows without any tuning."""
    return _shown(studio.baselines(session).create(identity, body))


@router.get("", operation_id="list_baselines")
def list_baselines(
    studio: StudioDep, session: ReadSession, identity: IdentityDep, limit: Limit = 50, after: After = None,
    dataset_id: Annotated[str | None, Query(max_length=64, description="Only those on this dataset.")] = None,
) -> BaselineList:  # fmt: skip
    """List measurements, newest first."""
    page = studio.baselines(session).newest(identity, limit=limit, after=after, dataset_id=dataset_id)
    return BaselineList(data=[_shown(row) for row in page.items], has_more=page.has_more)


@router.get("/{baseline_id}", operation_id="get_baseline")
def get_baseline(studio: StudioDep, session: ReadSession, identity: IdentityDep, baseline_id: Id) -> BaselineOut:
    """Show a measurement, and what came of it."""
    return _shown(studio.baselines(session).get(identity, baseline_id))


@router.get("/{baseline_id}/rows", operation_id="list_baseline_rows")
def list_baseline_rows(
    studio: StudioDep, session: ReadSession, identity: IdentityDep, baseline_id: Id, limit: Limit = 50,
    after: Annotated[int, Query(ge=0, le=MOST_ROWS, description="How many one has seen.")] = 0,
) -> BaselineRows:  # fmt: skip
    """List what was asked, what was expected, and what each model answered in each way."""
    baselines = studio.baselines(session)
    baselines.get(identity, baseline_id)
    rows, has_more = baselines.rows(identity, baseline_id, limit=limit, after=after)
    return BaselineRows(data=list(rows), has_more=has_more)


@router.post("/{baseline_id}/cancel", operation_id="cancel_baseline")
def cancel_baseline(studio: StudioDep, session: WriteSession, identity: IdentityDep, baseline_id: Id) -> BaselineOut:
    """Call a measurement off; nothing of it is kept. Asked again it is returned as it is; 409 for one that ended otherwise."""
    return _shown(studio.baselines(session).cancel(identity, baseline_id))


@router.delete("/{baseline_id}", status_code=204, operation_id="delete_baseline")
def delete_baseline(studio: StudioDep, session: WriteSession, identity: IdentityDep, baseline_id: Id) -> None:
    """Forget a measurement that has ended."""
    studio.baselines(session).delete(identity, baseline_id)


def _shown(row: Baseline) -> BaselineOut:
    plan = plan_of(row)
    return BaselineOut(
        id=row.id, status=RunStatus(row.status), reason=row.reason, error_code=row.error_code, dataset_id=row.dataset_id,
        dataset=plan.dataset, base_model=plan.models[0].name, outside=next((each.name for each in plan.models if each.is_outside), None),
        methods=list(plan.methods), k=plan.k, rows=plan.rows, max_tokens=plan.max_tokens, done=row.done, total=row.total,
        seconds_left=seconds_left(row), created_at=row.created_at, started_at=row.started_at, finished_at=row.finished_at,
        results=_results(row, plan),
    )  # fmt: skip


def _results(row: Baseline, plan: Plan) -> BaselineResults | None:
    results, verdict = results_of(row), verdict_of(row)
    if results is None or verdict is None:
        return None
    return BaselineResults(
        shape=results.shape, metric=results.primary, rows=results.rows, test_rows=results.test_rows, training_rows=results.training_rows,
        notes=list(results.notes), measured=[_measured(each, plan) for each in results.measured], **verdict._asdict(),
    )  # fmt: skip


def _measured(each: Measured, plan: Plan) -> MeasuredOut:
    model = plan.models[each.model]
    return MeasuredOut(
        model=model.name, outside=model.is_outside, method=each.way, cost=cost_of(each, model),
        scores={metric: ScoreOut(**score._asdict()) for metric, score in each.scores.items()},
        **each.model_dump(include={"rows", "seconds", "prompt_tokens", "answer_tokens", "cut", "refused", "shortened", "examples"}),
    )  # fmt: skip
