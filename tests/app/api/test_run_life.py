"""REST of a run's life: what people write on it, how it is found, cloned and deleted."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.db import AuditEntry, Project, Run
from app.db.session import reading, unit_of_work
from app.services.accounts import Identity
from app.services.studio import Studio
from tests.app.api.test_rest import client, owner, studio
from tests.databases import add_dataset, add_run

__all__ = ["client", "owner", "studio"]


@pytest.fixture
def run_id(studio: Studio, owner: Identity) -> str:
    return add_run(
        studio.engine, owner, add_dataset(studio.engine, owner), name="first", status="succeeded", model="ft:x", finished_at=None
    )


def change(client: TestClient, run_id: str, **body: Any) -> Any:
    return client.patch(f"/api/v1/runs/{run_id}", json=body)


def test_name_notes_and_tags_can_be_changed_and_a_model_keeps_its_name(client: TestClient, run_id: str) -> None:
    answer = change(client, run_id, name="  better ", notes="one\r\ntwo", tags=["Nightly", " big   Model ", "nightly"])
    assert answer.status_code == 200
    run = client.get(f"/api/v1/runs/{run_id}").json()
    assert run == answer.json()
    assert (run["name"], run["notes"], run["tags"], run["model"]) == ("better", "one\ntwo", ["nightly", "big model"], "ft:x")
    assert (run["created_by"], run["cloned_from"], run["disk_bytes"]) == ("owner", None, 0)


def test_what_is_left_out_stays_and_a_change_is_in_history_and_audit(client: TestClient, studio: Studio, run_id: str) -> None:
    change(client, run_id, tags=["a"])
    change(client, run_id, name="second", notes="x")
    change(client, run_id, name="second")  # no change
    run = client.get(f"/api/v1/runs/{run_id}").json()
    assert (run["name"], run["tags"], run["notes"]) == ("second", ["a"], "x")
    told = [event["message"] for event in client.get(f"/api/v1/runs/{run_id}/events").json()["data"]]
    assert told == ["owner renamed the run from 'first' to 'second'."]
    with reading(studio.engine) as session:
        fields = [entry.details["fields"] for entry in session.query(AuditEntry).filter_by(action="run.changed")]
    assert fields == [["tags"], ["name", "notes"]]


@pytest.mark.parametrize("status", ["queued", "running", "paused", "failed", "cancelled"])
def test_every_state_may_be_written_on(client: TestClient, studio: Studio, run_id: str, status: str) -> None:
    with unit_of_work(studio.engine) as session:
        session.get_one(Run, run_id).status = status
    assert change(client, run_id, notes="seen").json()["notes"] == "seen"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", " "),
        ("name", "n" * 201),
        ("notes", "n" * 10_001),
        ("notes", "a\0b"),
        ("tags", ["a,b"]),
        ("tags", [" "]),
        ("tags", ["t" * 41]),
        ("tags", [f"t{n}" for n in range(21)]),
        ("tags", ["a\tb\x07"]),
        ("tags", "a"),
        ("model", "ft:other"),
    ],
)
def test_what_cannot_be_kept_is_refused_by_its_field(client: TestClient, run_id: str, field: str, value: object) -> None:
    answer = change(client, run_id, **{field: value})
    assert (answer.status_code, str(answer.json()["error"]["param"]).split(".")[0]) == (422, field), answer.text


def test_the_limits_themselves_are_within_them(client: TestClient, run_id: str) -> None:
    tags = [f"{n:02d}" + "t" * 38 for n in range(20)]
    run = change(client, run_id, name="n" * 200, notes="\r\n" * 10_000, tags=tags).json()
    assert (len(run["name"]), len(run["notes"]), run["tags"]) == (200, 10_000, tags)


def test_lists_are_filtered_and_paged_by_key(client: TestClient, studio: Studio, owner: Identity) -> None:
    dataset = add_dataset(studio.engine, owner)
    made = [
        add_run(studio.engine, owner, dataset, name=f"n{n}", tags=["even"] * (n % 2 == 0), status="failed" if n < 4 else "queued")
        for n in range(6)
    ]

    def listed(**params: object) -> list[str]:
        return [run["name"] for run in client.get("/api/v1/runs", params=params).json()["data"]]  # type: ignore[arg-type]

    assert listed(tag="Even") == ["n4", "n2", "n0"]
    assert listed(status=["done", "queued"], q="n5") == ["n5"]
    assert listed(status="waiting") == ["n5", "n4"]
    assert listed(dataset_id=dataset, owner="owner", base_model="hone-starter", q=made[3]) == ["n3"]
    assert listed(owner="nobody") == []
    first = client.get("/api/v1/runs", params={"tag": "even", "limit": 2}).json()
    assert first["has_more"]
    after = client.get("/api/v1/runs", params={"tag": "even", "limit": 2, "after": first["data"][-1]["id"]}).json()
    assert ([run["name"] for run in after["data"]], after["has_more"]) == (["n0"], False)


@pytest.mark.parametrize(("name", "value"), [("status", "finished"), ("q", "x" * 201), ("limit", "0"), ("owner", "a\0")])
def test_a_filter_that_makes_no_sense_is_named(client: TestClient, name: str, value: str) -> None:
    answer = client.get("/api/v1/runs", params={name: value})
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, name)


def test_a_run_is_launched_with_notes_tags_and_the_run_it_takes_up(client: TestClient, run_id: str, studio: Studio) -> None:
    with reading(studio.engine) as session:
        dataset = session.get_one(Run, run_id).version.dataset_id
    body = {"name": "next", "base_model": "hone-starter", "dataset_id": dataset}
    body |= {"notes": "why", "tags": ["A"], "cloned_from": run_id}  # type: ignore[dict-item]
    run = client.get(f"/api/v1/runs/{client.post('/api/v1/runs', json=body).json()['id']}").json()
    assert (run["notes"], run["tags"], run["cloned_from"]) == ("why", ["a"], run_id)
    refused = client.post("/api/v1/runs", json=body | {"cloned_from": "nothing"})
    assert (refused.status_code, refused.json()["error"]["param"]) == (422, "cloned_from")


def test_a_run_is_deleted_once_it_has_ended(client: TestClient, studio: Studio, owner: Identity, run_id: str) -> None:
    live = add_run(studio.engine, owner, add_dataset(studio.engine, owner), status="running")
    refused = client.delete(f"/api/v1/runs/{live}")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "run_protected")
    assert "It has not ended: it is running." in refused.json()["error"]["message"]
    for _, status in enumerate((204, 404)):
        assert client.delete(f"/api/v1/runs/{run_id}").status_code == status
    assert [run["id"] for run in client.get("/api/v1/runs").json()["data"]] == [live]


def test_a_run_whose_model_is_answering_is_not_deleted(client: TestClient, run_id: str) -> None:
    client.app.state.inference._answers["ft:x"] += 1  # type: ignore[attr-defined]
    assert "is giving an answer" in client.delete(f"/api/v1/runs/{run_id}").json()["error"]["message"]
    client.app.state.inference._answers.clear()  # type: ignore[attr-defined]
    assert client.delete(f"/api/v1/runs/{run_id}").status_code == 204


def test_checkpoints_are_deleted_once_a_run_has_ended(client: TestClient, studio: Studio, owner: Identity, run_id: str) -> None:
    live = add_run(studio.engine, owner, add_dataset(studio.engine, owner), status="paused")
    assert client.delete(f"/api/v1/runs/{run_id}/checkpoints").status_code == 204
    assert client.delete(f"/api/v1/runs/{live}/checkpoints").json()["error"]["code"] == "run_not_ended"


def test_nobody_changes_or_deletes_another_projects_run(client: TestClient, studio: Studio, owner: Identity) -> None:
    with unit_of_work(studio.engine) as session:
        other = Project(name="other")
        session.add(other)
        session.flush()
        stranger = Identity(owner.user_id, "owner", other.id, "other")
    run_id = add_run(studio.engine, stranger, add_dataset(studio.engine, stranger), status="failed")
    assert change(client, run_id, name="mine").status_code == 404
    assert client.delete(f"/api/v1/runs/{run_id}").status_code == 404
    assert client.delete(f"/api/v1/runs/{run_id}/checkpoints").status_code == 404
