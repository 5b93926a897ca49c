"""Measurements over REST: what is refused before anything is asked, what is shown, and that others' are not."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from app.config import Settings
from app.db import AuditEntry, Baseline, Connection, Dataset, DatasetFile, DatasetVersion, Project
from app.db.base import utc_now
from app.db.session import unit_of_work
from app.domain.baselines import Plan, Said, Way, sum_up
from app.domain.goals import Answers
from app.domain.guide import Goal
from app.domain.metrics import Metric, Shape
from app.main import create_app
from app.services.accounts import Accounts, Identity
from app.services.studio import Studio
from tests.databases import add_dataset

BASELINES = "/api/v1/baselines"


@pytest.fixture
def client(migrated_sqlite: Path, tmp_path: Path) -> Iterator[TestClient]:
    """A client with a key, of a studio with a dataset."""
    shutil.copy(migrated_sqlite, tmp_path / "hone.db")
    app = create_app(Settings(home=tmp_path, workers=False))
    studio: Studio = app.state.studio
    with unit_of_work(studio.engine) as session:
        accounts = Accounts(session)
        _, key = accounts.create_key(accounts.ensure_owner(), "tests")
    yield TestClient(app, base_url="http://127.0.0.1:8000", headers={"Authorization": f"Bearer {key}"})
    studio.engine.dispose()


@pytest.fixture
def studio(client: TestClient) -> Studio:
    found: Studio = client.app.state.studio  # type: ignore[attr-defined]
    return found


@pytest.fixture
def owner(studio: Studio) -> Identity:
    with unit_of_work(studio.engine) as session:
        return Accounts(session).ensure_owner()


@pytest.fixture
def dataset_id(studio: Studio, owner: Identity) -> str:
    return add_dataset(studio.engine, owner)


def outside(studio: Studio, project_id: str, kind: str = "openai") -> str:
    with unit_of_work(studio.engine) as session:
        made = Connection(project_id=project_id, kind=kind, name="large", model="large-2026", url="https://api.example.com/v1")
        session.add(made)
        session.flush()
        return made.id


def finish(studio: Studio, baseline_id: str) -> None:
    """Enter what a worker would have: two of two rows right in few-shot prompts, none without examples."""
    with unit_of_work(studio.engine) as session:
        row = session.get_one(Baseline, baseline_id)
        plan = Plan.model_validate(row.plan)
        said = [
            Said(
                model=0, way=way, row=n, text="tea", seconds=0.5, prompt_tokens=9, answer_tokens=1,
                scores=dict.fromkeys(Metric, float(way is Way.FEW_SHOT)),
            )
            for n in range(2) for way in plan.methods
        ]  # fmt: skip
        row.results = sum_up(plan, said, Shape.LABELS, labels=2, rows=2, test_rows=2, training_rows=18).model_dump(mode="json")
        rows = [
            {"row": n, "prompt": "user: ?", "expected": "tea", "said": [each.model_dump(mode="json") for each in said if each.row == n]}
            for n in range(2)
        ]
        row.answers, row.status, row.finished_at = {"rows": rows}, "succeeded", utc_now()


def asked(client: TestClient, dataset_id: str, **more: Any) -> Any:
    return client.post(BASELINES, json={"dataset_id": dataset_id, "base_model": "hone-starter"} | more)


def test_a_measurement_is_queued_with_what_was_settled(client: TestClient, studio: Studio, dataset_id: str) -> None:
    made = asked(client, dataset_id)
    assert made.status_code == 201
    told = made.json()
    assert (told["status"], told["rows"], told["total"], told["results"]) == ("queued", 2, 6, None)
    assert told["methods"] == ["zero_shot", "few_shot", "retrieval"]
    with unit_of_work(studio.engine) as session:
        plan = Plan.model_validate(session.get_one(Baseline, told["id"]).plan)
    assert plan.models[0].place is not None
    assert str(plan.models[0].place["base_dir"]).endswith("models/hone-starter")


def test_rows_are_compared_as_the_goal_asks_and_those_of_a_recipe_as_it_does(
    client: TestClient, studio: Studio, owner: Identity, dataset_id: str
) -> None:
    def plan(answer: Any) -> Plan:
        with unit_of_work(studio.engine) as session:
            return Plan.model_validate(session.get_one(Baseline, answer.json()["id"]).plan)

    assert (plan(asked(client, dataset_id)).goal, plan(asked(client, dataset_id)).metric) == (None, None)
    with unit_of_work(studio.engine) as session:
        studio.goals(session).save(owner, Answers(what=Goal.MASK))
    assert (plan(asked(client, dataset_id)).goal, plan(asked(client, dataset_id)).metric) == (Goal.MASK, Metric.EXACT)
    sample = studio.recipes.sample("summaries").filename
    with unit_of_work(studio.engine) as session:
        session.add(DatasetFile(project_id=owner.project_id, dataset_id=dataset_id, filename=sample))
    assert (plan(asked(client, dataset_id)).goal, plan(asked(client, dataset_id)).metric) == (Goal.DISTIL, Metric.TOKEN_F1)


def test_an_outside_model_is_measured_beside_the_base_and_the_audit_says_so(
    client: TestClient, studio: Studio, owner: Identity, dataset_id: str
) -> None:
    told = asked(client, dataset_id, outside=outside(studio, owner.project_id), methods=["zero_shot"]).json()
    assert (told["outside"], told["total"]) == ("large", 4)
    with unit_of_work(studio.engine) as session:
        entry = session.scalars(select(AuditEntry).where(AuditEntry.action == "outside.asked")).one()
    assert entry.details == {"source": "api.example.com", "why": "a measurement"}


@pytest.mark.parametrize(
    ("wrong", "status", "code", "param"),
    [
        ({"base_model": "nowhere"}, 422, "unknown_model", "base_model"),
        ({"base_model": "org/name"}, 422, "model_not_here", "base_model"),
        ({"dataset_id": "none"}, 422, "dataset_not_found", "dataset_id"),
        ({"outside": "none"}, 422, "connection_not_found", "outside"),
        ({"rows": 500}, 422, None, "rows"),
        ({"methods": []}, 422, None, "methods"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    client: TestClient, dataset_id: str, wrong: dict[str, Any], status: int, code: str | None, param: str
) -> None:
    refused = asked(client, **{"dataset_id": dataset_id} | wrong)
    assert refused.status_code == status
    error = refused.json()["error"]
    assert error["param"] == param
    assert code in {None, error["code"]}
    assert client.get(BASELINES).json()["data"] == []


def test_the_hubs_token_is_no_outside_model(client: TestClient, studio: Studio, owner: Identity, dataset_id: str) -> None:
    assert asked(client, dataset_id, outside=outside(studio, owner.project_id, "hub")).json()["error"]["code"] == "connection_not_found"


def test_a_dataset_without_test_rows_or_not_ready_is_refused(client: TestClient, studio: Studio, dataset_id: str) -> None:
    with unit_of_work(studio.engine) as session:
        session.scalars(select(DatasetVersion)).one().test_rows = 0
    assert asked(client, dataset_id).json()["error"]["code"] == "no_test_rows"
    with unit_of_work(studio.engine) as session:
        session.get_one(Dataset, dataset_id).status = "importing"
    assert asked(client, dataset_id).status_code == 409


def test_results_come_with_the_sentence_and_the_advice(client: TestClient, studio: Studio, dataset_id: str) -> None:
    address = f"{BASELINES}/{asked(client, dataset_id, k=1).json()['id']}"
    finish(studio, address.rpartition("/")[2])
    results = client.get(address).json()["results"]
    assert results["sentence"].startswith("Tuning has to beat 100 % (±66): few-shot with 1 example on hone-starter; zero-shot 0 %")
    assert (results["metric"], results["advice"]) == ("label", "examples")
    few = results["measured"][1]
    assert (few["method"], few["scores"]["label"]["value"], few["prompt_tokens"], few["cost"]) == ("few_shot", 1.0, 18, None)
    assert few["scores"]["label"]["low"] < 0.5


def test_rows_come_page_by_page(client: TestClient, studio: Studio, dataset_id: str) -> None:
    address = f"{BASELINES}/{asked(client, dataset_id).json()['id']}"
    assert client.get(f"{address}/rows").json() == {"data": [], "has_more": False}
    finish(studio, address.rpartition("/")[2])
    first = client.get(f"{address}/rows?limit=1").json()
    assert (first["has_more"], first["data"][0]["expected"], len(first["data"][0]["said"])) == (True, "tea", 3)
    assert client.get(f"{address}/rows?limit=1&after=1").json()["data"][0]["row"] == 1


def test_a_measurement_is_called_off_then_forgotten(client: TestClient, dataset_id: str) -> None:
    address = f"{BASELINES}/{asked(client, dataset_id).json()['id']}"
    assert client.delete(address).status_code == 409
    assert client.post(f"{address}/cancel").json()["status"] == "cancelled"
    assert client.delete(address).status_code == 204
    assert client.get(address).status_code == 404


def test_calling_off_twice_changes_nothing_more(client: TestClient, studio: Studio, dataset_id: str) -> None:
    baseline_id = asked(client, dataset_id).json()["id"]
    first, second = (client.post(f"{BASELINES}/{baseline_id}/cancel") for _ in range(2))
    assert (second.status_code, second.json()) == (200, first.json())
    with unit_of_work(studio.engine) as session:
        entries = session.scalars(select(AuditEntry).where(AuditEntry.action == "baseline.cancelled")).all()
        assert len(entries) == 1
        session.get_one(Baseline, baseline_id).status = "cancelling"
    assert client.post(f"{BASELINES}/{baseline_id}/cancel").json()["status"] == "cancelling"
    finish(studio, baseline_id)
    assert client.post(f"{BASELINES}/{baseline_id}/cancel").json()["error"]["code"] == "illegal_state"


def test_those_of_others_are_not_there(client: TestClient, studio: Studio, dataset_id: str) -> None:
    with unit_of_work(studio.engine) as session:
        project = Project(name="theirs")
        session.add(project)
        session.flush()
        theirs = Baseline(project_id=project.id, dataset_id="d", version_id="v", queue="cpu")
        session.add(theirs)
        session.flush()
        address, foreign = f"{BASELINES}/{theirs.id}", project.id
    assert [client.get(address).status_code, client.get(f"{address}/rows").status_code, client.delete(address).status_code] == [404] * 3
    assert client.post(f"{address}/cancel").status_code == 404
    assert asked(client, dataset_id, outside=outside(studio, foreign)).json()["error"]["code"] == "connection_not_found"


def test_the_list_is_newest_first_and_of_one_dataset_if_wanted(
    client: TestClient, studio: Studio, owner: Identity, dataset_id: str
) -> None:
    other = add_dataset(studio.engine, owner)
    first, second, third = (asked(client, each).json()["id"] for each in (dataset_id, other, dataset_id))
    assert [each["id"] for each in client.get(BASELINES).json()["data"]] == [third, second, first]
    assert [each["id"] for each in client.get(f"{BASELINES}?dataset_id={dataset_id}&limit=1").json()["data"]] == [third]
