"""REST of a failure: explained, and launched again with the change that mends it."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import event

from app.db import Dataset, Run
from app.db.base import utc_now
from app.db.session import unit_of_work
from app.domain.specs import TrainingSettings
from app.services.accounts import Identity
from app.services.studio import Studio
from tests.app.api.test_rest import client, owner, studio
from tests.databases import add_dataset, add_run

__all__ = ["client", "owner", "studio"]


def failed(studio: Studio, owner: Identity, **columns: Any) -> str:
    """Enter a run that failed for want of memory on a GPU."""
    settings = TrainingSettings(rank=32, epochs=3).model_dump(mode="json")
    wanted = {
        "status": "failed",
        "error_code": "out_of_memory_gpu",
        "reason": "The GPU's memory is not enough.",
        "tags": ["wide"],
        "priority": 1,
    } | columns
    return add_run(studio.engine, owner, add_dataset(studio.engine, owner), name="big", spec={"settings": settings}, **wanted)


@pytest.fixture
def run_id(studio: Studio, owner: Identity) -> str:
    return failed(studio, owner)


def test_a_failure_is_explained_with_its_fixes(client: TestClient, run_id: str) -> None:
    found = client.get(f"/api/v1/runs/{run_id}").json()["diagnosis"]
    assert (found["code"], found["what"]) == ("out_of_memory_gpu", "The GPU's memory ran out.")
    assert {fix["id"]: fix["settings"] for fix in found["fixes"]}["qlora"] == {"tuning": "qlora"}


def test_a_failure_of_a_run_with_a_setting_that_is_gone_is_explained_without_fixes(
    client: TestClient, studio: Studio, owner: Identity, run_id: str
) -> None:
    with unit_of_work(studio.engine) as session:
        run = session.get_one(Run, run_id)
        run.spec = {"settings": run.spec["settings"] | {"of_an_older_version": 1}}
    [found] = client.get("/api/v1/runs").json()["data"]
    assert (found["diagnosis"]["what"], found["diagnosis"]["fixes"]) == ("The GPU's memory ran out.", [])


def test_a_list_of_failures_asks_no_more_often_than_a_short_one(client: TestClient, studio: Studio, owner: Identity, run_id: str) -> None:
    asked: list[str] = []
    client.get("/api/v1/runs")  # the first use of a key is noted
    event.listen(studio.engine, "before_cursor_execute", lambda *told: asked.append(str(told[2])))
    assert client.get("/api/v1/runs").json()["data"][0]["id"] == run_id
    short = len(asked)
    for _ in range(3):
        failed(studio, owner)
    asked.clear()
    assert len(client.get("/api/v1/runs").json()["data"]) == 4
    assert len(asked) == short


@pytest.mark.parametrize(
    ("status", "code", "explained"), [("paused", "disk_full", True), ("paused", None, False), ("succeeded", None, False)]
)
def test_only_what_went_wrong_is_explained(
    client: TestClient, studio: Studio, owner: Identity, status: str, code: str | None, *, explained: bool
) -> None:
    run = client.get(f"/api/v1/runs/{failed(studio, owner, status=status, error_code=code)}").json()
    assert (run["diagnosis"] is not None) is explained


def test_a_fix_launches_a_clone_that_differs_in_it_alone(client: TestClient, run_id: str) -> None:
    answer = client.post(f"/api/v1/runs/{run_id}/clone", json={"fix": "qlora"})
    assert (answer.status_code, answer.json()["status"]) == (201, "queued")
    before, after = (client.get(f"/api/v1/runs/{one}").json() for one in (run_id, answer.json()["id"]))
    assert (after["name"], after["cloned_from"], after["tags"], after["priority"]) == ("big 2", run_id, ["wide"], "high")
    changed = {name for name, value in before["spec"]["settings"].items() if after["spec"]["settings"][name] != value}
    assert changed - {"learning_rate", "eval_every_steps"} == {"tuning"}  # what is auto is decided at a launch


def test_without_a_fix_nothing_changes_but_the_name_that_was_given(client: TestClient, run_id: str) -> None:
    again = client.post(f"/api/v1/runs/{run_id}/clone", json={"name": "once more"}).json()["id"]
    run = client.get(f"/api/v1/runs/{again}").json()
    assert (run["name"], run["spec"]["settings"]["rank"], run["spec"]["settings"]["epochs"]) == ("once more", 32, 3)


def test_a_fix_that_there_is_not_is_refused_by_name(client: TestClient, run_id: str) -> None:
    answer = client.post(f"/api/v1/runs/{run_id}/clone", json={"fix": "pray"})
    assert (answer.status_code, answer.json()["error"]["param"], answer.json()["error"]["code"]) == (422, "fix", "unknown_fix")


def test_a_run_whose_dataset_is_gone_cannot_be_cloned(client: TestClient, studio: Studio, run_id: str) -> None:
    with unit_of_work(studio.engine) as session:
        session.get_one(Dataset, session.get_one(Run, run_id).version.dataset_id).deleted_at = utc_now()
    answer = client.post(f"/api/v1/runs/{run_id}/clone", json={})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "dataset_not_found")
    assert client.get(f"/api/v1/runs/{run_id}").json()["diagnosis"]["see"] is None
