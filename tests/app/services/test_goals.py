from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Engine, select

from app.db import AuditEntry, Baseline, Dataset, GoalRow
from app.db.session import reading, unit_of_work
from app.domain.baselines import AskedModel, Plan, Results, Way
from app.domain.goals import Answers, Known
from app.domain.guide import Goal
from app.domain.metrics import Metric, Shape, measures_of, score
from app.services.accounts import Identity
from app.services.goals import Goals
from tests.databases import add_dataset


def known(engine: Engine, by: Identity) -> Known:
    with reading(engine) as session:
        return Goals(session).known(by)


def measured(engine: Engine, by: Identity, shape: Shape, right: int, metric: Metric | None = None, **columns: Any) -> None:
    """Enter a measurement of ten rows of which so many are right with examples, and one fewer without."""
    model = AskedModel(name="org/small", connection_id=columns.pop("connection_id", None))
    plan = Plan(dataset="mails", models=(model,), methods=(Way.ZERO_SHOT, Way.FEW_SHOT), k=4, rows=10, max_tokens=64)
    each = [
        {
            "model": 0, "way": way, "rows": 10, "seconds": 0.1,
            "scores": {metric: score(metric, [1.0] * hits + [0.0] * (10 - hits)) for metric in measures_of(shape, metric)},
        }
        for way, hits in ((Way.ZERO_SHOT, right - 1), (Way.FEW_SHOT, right))
    ]  # fmt: skip
    results = Results.model_validate({"shape": shape, "metric": metric, "rows": 10, "test_rows": 10, "training_rows": 90, "measured": each})
    row = {"status": "succeeded", "plan": plan.model_dump(mode="json"), "results": results.model_dump(mode="json")} | columns
    with unit_of_work(engine) as session:
        session.add(Baseline(project_id=by.project_id, created_by=by.user_id, dataset_id="d", version_id="v", queue="gpu", **row))


def test_a_goal_is_kept_once_and_who_changed_it(engine: Engine, owner: Identity) -> None:
    for what in (Goal.CODE, Goal.MASK):
        with unit_of_work(engine) as session:
            Goals(session).save(owner, Answers(what=what))
    with reading(engine) as session:
        assert Goals(session).answers(owner).what is Goal.MASK
        assert len(session.scalars(select(GoalRow)).all()) == 1
        assert [entry.action for entry in session.scalars(select(AuditEntry))] == ["goal.saved"] * 2


def test_two_who_save_at_once_keep_one_goal(engine: Engine, owner: Identity) -> None:
    def save(what: Goal) -> None:
        with unit_of_work(engine) as session:
            Goals(session).save(owner, Answers(what=what))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(save, list(Goal)[:4]))
    with reading(engine) as session:
        assert len(session.scalars(select(GoalRow)).all()) == 1


def test_a_recipe_does_not_change_a_goal_that_somebody_chose(engine: Engine, owner: Identity) -> None:
    for what in (Goal.CODE, Goal.MASK):
        with unit_of_work(engine) as session:
            Goals(session).adopt(owner, Answers(what=what))
    with reading(engine) as session:
        assert Goals(session).answers(owner).what is Goal.CODE


@pytest.mark.parametrize("kept", [{"what": "world peace"}, {"asked_once": 1}])
def test_answers_of_another_version_are_no_failure(engine: Engine, owner: Identity, kept: dict[str, Any]) -> None:
    with unit_of_work(engine) as session:
        session.add(GoalRow(project_id=owner.project_id, created_by=owner.user_id, answers=kept))
    with reading(engine) as session:
        assert Goals(session).answers(owner) == Answers()


def test_the_largest_dataset_that_is_ready_counts(engine: Engine, owner: Identity) -> None:
    assert known(engine, owner) == Known()
    for rows in (40, 20, 900):
        newest = add_dataset(engine, owner, rows=rows)
    with unit_of_work(engine) as session:
        session.get_one(Dataset, newest).status = "failed"
    assert known(engine, owner).rows == 40


def test_the_best_of_the_newest_measurement_is_known(engine: Engine, owner: Identity) -> None:
    measured(engine, owner, Shape.LABELS, 3)
    measured(engine, owner, Shape.JSON, 7)
    measured(engine, owner, Shape.LABELS, 9, status="running")
    found = known(engine, owner)
    assert (found.right_percent, found.measured, found.on_own_model) == (70.0, "Few-shot prompting of small", True)
    measured(engine, owner, Shape.LABELS, 9, connection_id="outside")
    assert known(engine, owner) == Known(right_percent=90.0, measured="Few-shot prompting of small", on_own_model=False)


def test_how_alike_long_texts_are_is_not_how_many_are_right(engine: Engine, owner: Identity) -> None:
    measured(engine, owner, Shape.TEXT, 7)
    assert known(engine, owner) == Known()
    measured(engine, owner, Shape.TEXT, 6, Metric.EXACT)
    assert known(engine, owner).right_percent == 60.0


def test_a_measurement_of_another_version_is_left_out(engine: Engine, owner: Identity) -> None:
    measured(engine, owner, Shape.LABELS, 7, results={"answers": 12})
    assert known(engine, owner) == Known()
