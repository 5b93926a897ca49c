"""REST of a run's samples: what its model answers to the same few prompts at each checkpoint."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from app.api.dependencies import Id, IdentityDep, ReadSession, StudioDep
from app.db.run_samples import Sampled, read_samples, sampled_steps
from app.domain.datasets import Message
from app.domain.errors import NotFound
from app.domain.specs import MAX_STEPS

router = APIRouter(prefix="/api/v1/runs", tags=["runs"])


class RunSampleOut(BaseModel):
    """A prompt, what was expected, and what was answered."""

    place: int = Field(description="Which of the run's prompts, from 0; the same at every step.")
    origin: Literal["held_out", "training", "own"] = Field(description="A held-out row, a training row, or one of `sample_prompts`.")
    row: int | None = Field(description="The number of its row, from 1.")
    prompt: list[Message]
    expected: str | None
    base_answer: str | None = Field(description="What the base answered before the first step.")
    answer: str | None = Field(description="What was answered at this step.")
    is_cut: bool = Field(description="The answer would have gone on.")


class RunSampleList(BaseModel):
    """The samples of one step, and the steps there are."""

    steps: list[int]
    step: int | None = Field(description="The step these are of; null while there are none.")
    data: list[RunSampleOut]


@router.get("/{run_id}/samples", operation_id="list_run_samples")
def list_run_samples(
    studio: StudioDep, session: ReadSession, identity: IdentityDep, run_id: Id,
    step: Annotated[int | None, Query(ge=0, le=MAX_STEPS, description="Default: the newest there are.")] = None,
) -> RunSampleList:  # fmt: skip
    """Return what a run's model answered to its fixed prompts at a step; 0 is the base. 404 for a step without samples."""
    run = studio.runs(session).get(identity, run_id)
    steps = sampled_steps(session, run.id)
    if step is not None and step not in steps:
        message = f"There are no samples of step {step}; the newest are of step {steps[-1]}." if steps else "There are no samples yet."
        raise NotFound(message, param="step", code="samples_not_found")
    shown = step if step is not None else steps[-1] if steps else None
    data = [] if shown is None else [_told(one) for one in read_samples(session, run.id, shown)]
    return RunSampleList(steps=steps, step=shown, data=data)


def _told(one: Sampled) -> RunSampleOut:
    prompt, base, answer = one.prompt, one.base, one.answer
    return RunSampleOut(
        place=prompt.place, origin=prompt.origin, row=prompt.row, prompt=prompt.prompt, expected=prompt.expected,
        base_answer=base.answer if base else None, answer=answer.answer if answer else None, is_cut=bool(answer and answer.is_cut),
    )  # fmt: skip
