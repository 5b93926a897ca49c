"""REST of comparing runs."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from app.api.dependencies import IdentityDep, ReadSession, StudioDep
from app.domain.comparison import parse_ids
from app.domain.runs import RunStatus
from app.domain.text import Text
from app.services.comparison import compare, document

router = APIRouter(prefix="/api/v1/runs", tags=["runs"])


class ComparedRun(BaseModel):
    """A run that is compared, with its two curves as [step, value]."""

    id: str
    name: str
    status: RunStatus
    started_at: datetime | None
    finished_at: datetime | None
    train_loss: list[tuple[int, float | None]]
    held_out_loss: list[tuple[int, float | None]]


class ScoreOut(BaseModel):
    """One measure of all runs."""

    name: str = Field(examples=["eval/loss:best"])
    label: str
    lower_is_better: bool
    values: list[float | None] = Field(description="In the order of `runs`.")
    best: list[str] = Field(description="Ids of the best; empty where the runs cannot be ranked by it.")


class SettingOut(BaseModel):
    """One part of the runs' specs."""

    name: str
    label: str
    values: list[str] = Field(description="In the order of `runs`.")


class ComparisonOut(BaseModel):
    """Runs side by side."""

    runs: list[ComparedRun]
    scores: list[ScoreOut]
    differences: list[SettingOut] = Field(description="What the runs' specs do not all share.")
    notes: list[str] = Field(description="Which scores say nothing about each other, and why.")


Ids = Annotated[list[Text], Query(max_length=50, description="Two to six runs: `ids=a,b`, or `ids` again for each.")]


@router.get("/compare", operation_id="compare_runs")
def compare_runs(studio: StudioDep, session: ReadSession, identity: IdentityDep, ids: Ids) -> ComparisonOut:
    """Lay runs side by side: curves, scores, differences, and which scores are not comparable."""
    return ComparisonOut.model_validate(document(compare(session, studio.runs(session), identity, parse_ids(ids))))
