"""REST of how good estimates were: predicted against measured, and what past runs have shown of their devices."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from fastapi import APIRouter
from pydantic import BaseModel, Field

from app.api.dependencies import IdentityDep, ReadSession
from app.services.predictions import record_of

if TYPE_CHECKING:
    from app.domain.predictions import Accuracy, Compared, Outcome

router = APIRouter(prefix="/api/v1/estimates", tags=["estimates"])


class ComparedOut(BaseModel):
    """What was predicted beside what was measured."""

    predicted: float
    low: float
    high: float
    measured: float
    error: float = Field(description="The share by which the prediction was too high; negative: too low.")
    is_within: bool = Field(description="Whether it came out within the range that was told.")


class OutcomeOut(BaseModel):
    """A run that has ended; null where nothing can be compared."""

    run_id: str
    name: str
    device: str
    ended_at: datetime | None
    memory_bytes: ComparedOut | None = Field(description="At its peak; on a GPU what torch allocates there.")
    seconds: ComparedOut | None = Field(description="Held by workers, of runs that did all their steps.")
    cost: ComparedOut | None = Field(description="At the price that was assumed.")
    currency: str


class AccuracyOut(BaseModel):
    """How good predictions of one thing were."""

    runs: int
    median_error: float | None = Field(description="Of the errors without their sign.")
    worst_error: float | None
    within: int = Field(description="How many came out within the range that was told.")


class LearnedOut(BaseModel):
    """What past runs have shown of a device."""

    device: str
    precision: str = Field(description="What these runs computed in: bf16 or fp32.")
    flops_per_second: float
    runs: int
    startup_seconds: float = Field(description="From the claim to the first step.")


class RecordOut(BaseModel):
    """How good the estimates of this project's runs were, the newest 200 of them."""

    memory: AccuracyOut
    time: AccuracyOut
    money: AccuracyOut
    runs: list[OutcomeOut] = Field(description="Newest first.")
    learned: list[LearnedOut] = Field(description="By device and precision; estimates of time stand on these.")


@router.get("/accuracy", operation_id="get_estimate_accuracy")
def get_accuracy(session: ReadSession, identity: IdentityDep) -> RecordOut:
    """Show what was predicted of this project's runs beside what was measured, and what was learned from it."""
    found = record_of(session, identity)
    learned = [
        LearnedOut(
            device=name, precision=numbers, flops_per_second=rate.flops_per_second, runs=rate.samples, startup_seconds=startup.likely
        )
        for name, (rates, startup) in found.learned.items()
        for numbers, rate in rates.items()
    ]
    return RecordOut(
        memory=_accuracy(found.memory), time=_accuracy(found.time), money=_accuracy(found.money),
        runs=[_outcome(each) for each in found.outcomes], learned=learned,
    )  # fmt: skip


def _accuracy(found: Accuracy) -> AccuracyOut:
    return AccuracyOut(**found._asdict())


def _outcome(found: Outcome) -> OutcomeOut:
    return OutcomeOut(
        run_id=found.run_id, name=found.name, device=found.device, ended_at=found.ended_at, memory_bytes=_compared(found.memory),
        seconds=_compared(found.time), cost=_compared(found.money), currency=found.currency,
    )  # fmt: skip


def _compared(found: Compared | None) -> ComparedOut | None:
    return None if found is None else ComparedOut(**found._asdict(), error=found.error, is_within=found.is_within)
