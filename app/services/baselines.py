"""Measurements of what prompts alone reach: ask for one, look at it, call it off, delete it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sqlalchemy import select
from sqlalchemy.orm import undefer

from app.db import Baseline, Connection
from app.db.audit import OUTSIDE_ASKED, note
from app.db.base import utc_now
from app.db.session import after_commit
from app.domain.baselines import ROWS_A_TURN, AskedModel, Plan, Results, RowSaid, Verdict, compared_by, verdict_on
from app.domain.connections import ConnectionKind
from app.domain.datasets import DatasetStatus
from app.domain.errors import Conflict, Invalid, NotFound
from app.domain.runs import ENDED, RunStatus, after_request
from app.services.datasets import IMPORT_QUEUE
from app.services.goals import Goals
from app.services.paging import Page, newest_first

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sqlalchemy.orm import Session

    from app.db import Dataset
    from app.domain.baselines import BaselineRequest
    from app.domain.guide import Goal
    from app.domain.metrics import Metric
    from app.domain.ports import Queue, Recipes
    from app.domain.recipes import Recipe
    from app.services.accounts import Identity
    from app.services.datasets import Datasets
    from app.services.models import Models

CALLED_OFF = frozenset({RunStatus.CANCELLING, RunStatus.CANCELLED})


class Baselines:
    """The measurements of a project. `folders` is where workers of this machine keep what they have of them."""

    def __init__(self, session: Session, queue: Queue, datasets: Datasets, models: Models, folders: Path, *, recipes: Recipes) -> None:
        self.session, self.queue, self.datasets, self.models, self.folders = session, queue, datasets, models, folders
        self.recipes = recipes

    def create(self, by: Identity, request: BaselineRequest) -> Baseline:
        """Check a request whole and queue it; nothing is stored when anything is wrong."""
        asked = [self._own(by, request.base_model)]
        dataset = self._ready(by, request.dataset_id)
        connection = self._connection(by, request.outside) if request.outside else None
        if connection:
            asked.append(
                AskedModel(
                    name=connection.name, connection_id=connection.id, prompt_price=request.prompt_price, answer_price=request.answer_price
                )
            )
        version = dataset.version
        if version is None or not version.test_rows:
            message = f"The dataset {dataset.name!r} holds no test rows to ask."
            raise Invalid(message, param="dataset_id", code="no_test_rows")
        goal, metric = self._purpose(by, dataset)
        plan = Plan(
            dataset=dataset.name, models=tuple(asked), methods=request.methods, k=request.k, rows=min(request.rows, version.test_rows),
            max_tokens=request.max_tokens, goal=goal, metric=metric,
        )  # fmt: skip
        made = Baseline(
            project_id=by.project_id, created_by=by.user_id, dataset_id=dataset.id, version_id=version.id, queue=IMPORT_QUEUE,
            plan=plan.model_dump(mode="json"), total=plan.asked,
        )  # fmt: skip
        self.session.add(made)
        self.session.flush()
        note(self.session, by.project_id, by.user_id, "baseline.created", made.id)
        if connection:
            host = urlsplit(connection.url).hostname
            note(self.session, by.project_id, by.user_id, OUTSIDE_ASKED, made.id, source=host, why="a measurement")
        after_commit(self.session, lambda: self.queue.ring(IMPORT_QUEUE))
        return made

    def get(self, by: Identity, baseline_id: str, *, to_change: bool = False) -> Baseline:
        """Return a measurement of the project, or NotFound; `to_change` locks it until the unit of work ends."""
        query = select(Baseline).where(Baseline.id == baseline_id, Baseline.project_id == by.project_id)
        found = self.session.scalar(query.with_for_update().execution_options(populate_existing=True) if to_change else query)
        if found is None:
            raise NotFound("There is no such measurement.", code="baseline_not_found")
        return found

    def newest(self, by: Identity, *, limit: int = 50, after: str | None = None, dataset_id: str | None = None) -> Page[Baseline]:
        """Return the project's measurements, newest first, or those on one dataset."""
        query = select(Baseline).where(Baseline.project_id == by.project_id)
        if dataset_id:
            query = query.where(Baseline.dataset_id == dataset_id)
        return newest_first(self.session, query, Baseline.id, limit=limit, after=after)

    def rows(self, by: Identity, baseline_id: str, *, limit: int, after: int = 0) -> tuple[Sequence[RowSaid], bool]:
        """Return rows with all that was answered to them, in the order they were asked, after so many; and whether there are more."""
        query = select(Baseline).where(Baseline.id == baseline_id, Baseline.project_id == by.project_id).options(undefer(Baseline.answers))
        found = self.session.scalar(query.execution_options(populate_existing=True))
        said = found.answers.get("rows", []) if found else []
        return [RowSaid.model_validate(each) for each in said[after : after + limit]], len(said) > after + limit

    def cancel(self, by: Identity, baseline_id: str) -> Baseline:
        """Call a measurement off; nothing of it is kept. Who asks again, as with a second click, gets it as it is."""
        row = self.get(by, baseline_id, to_change=True)
        if row.status in CALLED_OFF:
            return row
        row.move_to(after_request("cancel", RunStatus(row.status)))
        if row.status in ENDED:
            row.finished_at = utc_now()
            self._forget_files(row.id)
        note(self.session, by.project_id, by.user_id, "baseline.cancelled", row.id)
        return row

    def delete(self, by: Identity, baseline_id: str) -> None:
        """Forget a measurement that has ended."""
        row = self.get(by, baseline_id, to_change=True)
        if row.status not in ENDED:
            raise Conflict("This measurement is not over yet. Cancel it first.", code="illegal_state")
        note(self.session, by.project_id, by.user_id, "baseline.deleted", row.id)
        self.session.delete(row)
        self._forget_files(row.id)

    def _forget_files(self, baseline_id: str) -> None:
        after_commit(self.session, lambda: shutil.rmtree(self.folders / baseline_id, ignore_errors=True))

    def _own(self, by: Identity, name: str) -> AskedModel:
        """Return a model of this studio: one that answers in chats, or any base whose folder is here."""
        try:
            return AskedModel(name=name, place=self.models.resolve(by, name).place())
        except NotFound:
            base = self.models.folders.find(name)
        if base.folder is None:
            message = f"{base.name} is not on this machine, so it cannot be asked. Download it first."
            raise Invalid(message, param="base_model", code="model_not_here")
        return AskedModel(name=base.name, place={"base_dir": str(base.folder), "adapter_dir": None})

    def _ready(self, by: Identity, dataset_id: str) -> Dataset:
        try:
            dataset = self.datasets.get(by, dataset_id)
        except NotFound:
            raise Invalid(f"There is no dataset {dataset_id[:60]!r}.", param="dataset_id", code="dataset_not_found") from None
        if dataset.status != DatasetStatus.READY:
            message = f"The dataset {dataset.name!r} is {dataset.status.replace('_', ' ')}, not ready to be measured on."
            raise Conflict(message, param="dataset_id", code="dataset_not_ready")
        return dataset

    def _purpose(self, by: Identity, dataset: Dataset) -> tuple[Goal | None, Metric | None]:
        """Return what the rows are for and what their answers are compared by: as their recipe says, else as the project's goal does."""
        names = {file.filename for file in dataset.files}
        recipe = next((each for each in self.recipes.listed() if names and names <= _sample_names(each)), None)
        if recipe:
            return recipe.goal, recipe.metrics[0]
        answers = Goals(self.session).answers(by)
        return answers.what, compared_by(answers)

    def _connection(self, by: Identity, connection_id: str) -> Connection:
        found = self.session.get(Connection, connection_id)
        if found is None or found.project_id != by.project_id or found.kind != ConnectionKind.OPENAI:
            raise Invalid("There is no such outside model.", param="outside", code="connection_not_found")
        return found


def _sample_names(recipe: Recipe) -> set[str]:
    """Return what files with a recipe's sample rows are called."""
    shelf = recipe.sample.shelf
    return {f"sample-{recipe.slug}.jsonl"} | ({f"{shelf}.jsonl", f"{shelf}-test.jsonl"} if shelf else set())


def plan_of(row: Baseline) -> Plan:
    """Return what is measured."""
    return Plan.model_validate(row.plan)


def results_of(row: Baseline) -> Results | None:
    """Return what came of it; None while nothing did."""
    return Results.model_validate(row.results) if row.results else None


def verdict_of(row: Baseline) -> Verdict | None:
    """Return what tuning would have to beat; None while that is not known."""
    results = results_of(row)
    return verdict_on(results, plan_of(row)) if results else None


def seconds_left(row: Baseline) -> float | None:
    """Return how long a measurement will still take, by its answers since it began or waited; None where that would be a guess."""
    plan, done = plan_of(row), row.done - row.done_before
    if row.status != RunStatus.RUNNING or row.started_at is None or row.reason or done < ROWS_A_TURN * plan.answers_a_row:
        return None
    return (utc_now() - row.started_at).total_seconds() / done * (row.total - row.done)
