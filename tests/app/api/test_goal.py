"""The project's goal over REST: kept as answered, advised on, each project its own; and samples of recipes as datasets."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app import main
from app.config import Settings
from app.db import Project
from app.db.session import unit_of_work
from app.services.accounts import Accounts
from app.services.studio import Studio

GOAL = "/api/v1/goal"


@pytest.fixture
def client(migrated_sqlite: Path, tmp_path: Path) -> Iterator[TestClient]:
    """A client with a key."""
    shutil.copy(migrated_sqlite, tmp_path / "hone.db")
    app = main.create_app(Settings(home=tmp_path, workers=False))
    with unit_of_work(app.state.studio.engine) as session:
        accounts = Accounts(session)
        _, key = accounts.create_key(accounts.ensure_owner(), "tests")
    with TestClient(app, base_url="http://127.0.0.1", headers={"Authorization": f"Bearer {key}"}) as made:
        yield made


def stranger_of(client: TestClient) -> dict[str, str]:
    studio: Studio = client.app.state.studio  # type: ignore[attr-defined]
    with unit_of_work(studio.engine) as session:
        accounts, other = Accounts(session), Project(name="other")
        session.add(other)
        session.flush()
        mine = accounts.ensure_owner()
        _, key = accounts.create_key(type(mine)(mine.user_id, mine.user_name, other.id, other.name), "other")
    return {"Authorization": f"Bearer {key}"}


def test_before_anybody_answered_there_is_advice_and_no_goal(client: TestClient) -> None:
    found = client.get(GOAL).json()
    assert (found["answers"]["what"], found["saved_at"], found["advice"]["says_tune"]) == (None, None, False)
    assert [rung["rung"] for rung in found["advice"]["rungs"]] == ["prompt", "documents", "tune", "scratch"]


def test_a_goal_is_kept_and_advised_on(client: TestClient) -> None:
    wanted = {"what": "format", "task": "Answer mails and translate them into German", "examples": 50, "tried_prompt": True}
    kept = client.put(GOAL, json=wanted)
    assert kept.status_code == 200
    assert kept.json()["advice"]["headline"] == "Don’t fine-tune yet: put examples into the prompt"
    assert [hint["flaw"] for hint in kept.json()["task_hints"]] == ["two_tasks"]
    assert {name: client.get(GOAL).json()["answers"][name] for name in wanted} == wanted
    again = client.put(GOAL, json={"what": "style"}).json()
    assert (again["answers"]["what"], again["answers"]["examples"]) == ("style", None)
    assert again["saved_at"] >= kept.json()["saved_at"]


@pytest.mark.parametrize(("field", "value"), [("what", "fame"), ("examples", -1), ("hope", 1), ("task", "x" * 501)])
def test_what_makes_no_sense_is_refused_by_its_name(client: TestClient, field: str, value: object) -> None:
    refused = client.put(GOAL, json={field: value})
    assert (refused.status_code, refused.json()["error"]["param"]) == (422, field)


def test_each_project_has_its_own_goal(client: TestClient) -> None:
    client.put(GOAL, json={"what": "code"})
    theirs = stranger_of(client)
    assert client.get(GOAL, headers=theirs).json()["answers"]["what"] is None
    assert client.put(GOAL, json={"what": "mask"}, headers=theirs).status_code == 200
    assert client.get(GOAL).json()["answers"]["what"] == "code"


def test_recipes_are_listed_and_found(client: TestClient) -> None:
    listed = client.get(f"{GOAL}/recipes").json()["data"]
    assert "support-emails" in [recipe["slug"] for recipe in listed]
    assert client.get(f"{GOAL}/recipes/{listed[0]['slug']}").json() == listed[0]
    assert client.get(f"{GOAL}/recipes/nothing").json()["error"]["code"] == "recipe_not_found"


def test_a_sample_is_a_dataset_once(client: TestClient) -> None:
    first = client.post(f"{GOAL}/recipes/classification/sample", json={"rows": 60, "seed": 5})
    assert (first.status_code, first.json()["status"]) == (201, "importing")
    assert first.json()["name"] == "Sample: Sort messages by their matter, 60 rows, seed 5"
    again = client.post(f"{GOAL}/recipes/classification/sample", json={"rows": 60, "seed": 5})
    assert (again.status_code, again.json()) == (200, first.json())
    assert client.post(f"{GOAL}/recipes/classification/sample").status_code == 201
    theirs = client.post(f"{GOAL}/recipes/classification/sample", json={"rows": 60, "seed": 5}, headers=stranger_of(client))
    assert theirs.json()["id"] != first.json()["id"]


def test_more_rows_than_there_are_and_unknown_recipes_are_told(client: TestClient) -> None:
    refused = client.post(f"{GOAL}/recipes/brand-voice/sample", json={"rows": 600})
    assert (refused.status_code, refused.json()["error"]["param"]) == (422, "rows")
    assert client.post(f"{GOAL}/recipes/nothing/sample").status_code == 404
    assert client.get("/api/v1/datasets").json()["data"] == []


def test_without_a_key_nothing_is_told(client: TestClient) -> None:
    del client.headers["Authorization"]
    asked = [client.get(GOAL), client.put(GOAL, json={}), client.get(f"{GOAL}/recipes"), client.post(f"{GOAL}/recipes/brand-voice/sample")]
    assert {answer.status_code for answer in asked} == {401}
