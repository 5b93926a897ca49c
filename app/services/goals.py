"""What a project's people want of a tuned model, kept as they answered, beside what the project shows of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError
from sqlalchemy import func, select

from app.db import Baseline, Dataset, DatasetVersion, GoalRow, Project
from app.db.audit import note
from app.domain.baselines import WAYS, Plan, Results
from app.domain.datasets import DatasetStatus
from app.domain.goals import Answers, Known
from app.domain.ladder import climb
from app.domain.metrics import SHARES, Metric, Shape
from app.domain.runs import RunStatus

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from app.domain.ladder import Ladder
    from app.services.accounts import Identity


class Goals:
    """The goal of a project; there is one at most."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def get(self, by: Identity) -> GoalRow | None:
        """Return the project's goal as it was saved; None while nobody has."""
        return self._of(by.project_id)

    def answers(self, by: Identity) -> Answers:
        """Return what was answered; nothing where nobody has, or where an earlier version asked in another way."""
        return self.of_project(by.project_id)

    def of_project(self, project_id: str) -> Answers:
        """Return what was answered in a project, whose own data is at hand already."""
        found = self._of(project_id)
        kept = {name: value for name, value in found.answers.items() if name in Answers.model_fields} if found else {}
        try:
            return Answers.model_validate(kept)
        except ValidationError:
            return Answers()

    def _of(self, project_id: str) -> GoalRow | None:
        return self.session.scalar(select(GoalRow).where(GoalRow.project_id == project_id))

    def save(self, by: Identity, answers: Answers) -> GoalRow:
        """Keep the answers in place of earlier ones."""
        # Two who save at once come one after the other, or both would enter a goal.
        self.session.execute(select(Project.id).where(Project.id == by.project_id).with_for_update())
        found = self.get(by)
        if found is None:
            found = GoalRow(project_id=by.project_id, created_by=by.user_id)
            self.session.add(found)
        found.answers = answers.model_dump(mode="json", exclude_defaults=True)
        self.session.flush()
        note(self.session, by.project_id, by.user_id, "goal.saved", found.id)
        return found

    def adopt(self, by: Identity, answers: Answers) -> None:
        """Keep the answers unless somebody has said already what the project is for."""
        if self.answers(by).what is None:
            self.save(by, answers)

    def advice(self, by: Identity, answers: Answers) -> Ladder:
        """Return what is worth doing, from the answers and what the project shows."""
        return climb(answers, self.known(by))

    def known(self, by: Identity) -> Known:
        """Return what the project shows: its largest dataset, and the best that a prompt has reached in its newest measurement."""
        rows = (
            select(func.max(DatasetVersion.rows))
            .join(Dataset, Dataset.version_id == DatasetVersion.id)
            .where(Dataset.project_id == by.project_id, Dataset.deleted_at.is_(None), Dataset.status == DatasetStatus.READY)
        )
        return _measured(self._newest_measurement(by)).model_copy(update={"rows": self.session.scalar(rows)})

    def _newest_measurement(self, by: Identity) -> Baseline | None:
        done = (Baseline.project_id == by.project_id, Baseline.status == RunStatus.SUCCEEDED)
        return self.session.scalar(select(Baseline).where(*done).order_by(Baseline.id.desc()).limit(1))


def _measured(baseline: Baseline | None) -> Known:
    """Return the best of a measurement; nothing where there is none, or one that an earlier version kept in another way."""
    if baseline is None:
        return Known()
    try:
        plan, results = Plan.model_validate(baseline.plan), Results.model_validate(baseline.results)
    except ValidationError:
        return Known()
    # Of longer texts one cannot say how many are right, only how alike they are, unless they have to be the same to the letter.
    whole = {Shape.JSON: Metric.JSON_SAME, Shape.SHORT: Metric.NORMALISED}
    counts = results.primary if results.primary in SHARES else whole.get(results.shape)
    if counts is None or not results.measured:
        return Known()
    best = max(results.measured, key=lambda each: each.scores[counts].value)
    way, model = WAYS[best.way][0], plan.models[best.model]
    percent = round(100 * best.scores[counts].value, 1)
    return Known(right_percent=percent, measured=f"{way} prompting of {model.name.rsplit('/', 1)[-1]}", on_own_model=not model.is_outside)
