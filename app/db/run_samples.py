"""What a run's model answers to a few fixed prompts: the prompts once, and each answer under the step it was given at.

They hold rows' texts, so they are shown to whoever may see the run, and go with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import ForeignKey, String, Text, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.db.base import Base

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.domain.events import Sample


class SamplePrompt(Base):
    """One of a run's fixed prompts, and the answer that was expected, where one is known."""

    __tablename__ = "sample_prompts"

    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    place: Mapped[int] = mapped_column(primary_key=True)
    origin: Mapped[str] = mapped_column(String(20))
    # What people call the row it is of.
    row: Mapped[int | None]
    prompt: Mapped[list[Any]]
    expected: Mapped[str | None] = mapped_column(Text)


class SampleAnswer(Base):
    """What was answered to a prompt at a step; at step 0 by the base."""

    __tablename__ = "sample_answers"

    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    place: Mapped[int] = mapped_column(primary_key=True)
    answer: Mapped[str] = mapped_column(Text)
    is_cut: Mapped[bool]


@dataclass(frozen=True)
class Sampled:
    """A prompt, what the base answered, and what was answered at some step; None where that was not asked."""

    prompt: SamplePrompt
    base: SampleAnswer | None
    answer: SampleAnswer | None


def enter_samples(session: Session, run_id: str, reported: Iterable[Sample]) -> None:
    """Write what was answered; the caller holds the lease. A step that is taken again after a crash is answered anew."""
    for one in reported:
        prompt = [turn.model_dump() for turn in one.prompt]
        session.merge(SamplePrompt(run_id=run_id, place=one.place, origin=one.origin, row=one.row, prompt=prompt, expected=one.expected))
        session.merge(SampleAnswer(run_id=run_id, step=one.step, place=one.place, answer=one.answer, is_cut=one.is_cut))


def sampled_steps(session: Session, run_id: str) -> list[int]:
    """Return the steps at which a run's prompts were answered, in order."""
    return list(session.scalars(select(SampleAnswer.step).where(SampleAnswer.run_id == run_id).distinct().order_by(SampleAnswer.step)))


def read_samples(session: Session, run_id: str, step: int) -> list[Sampled]:
    """Return a run's prompts in their order, with the base's answers and those of a step."""
    prompts = session.scalars(select(SamplePrompt).where(SamplePrompt.run_id == run_id).order_by(SamplePrompt.place)).all()
    wanted = select(SampleAnswer).where(SampleAnswer.run_id == run_id, SampleAnswer.step.in_((0, step)))
    found = {(answer.step, answer.place): answer for answer in session.scalars(wanted)}
    return [Sampled(prompt, found.get((0, prompt.place)), found.get((step, prompt.place))) for prompt in prompts]
