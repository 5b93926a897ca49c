"""REST without workers: who may, what is refused, how lists page, and when rows are frozen."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.config import Settings
from app.db import Dataset, DatasetVersion
from app.db.base import utc_now
from app.db.session import unit_of_work
from app.main import create_app
from app.services.accounts import Accounts, Identity
from app.services.studio import Studio
from tests.databases import add_dataset, add_run
from tests.waiting import PATIENCE_SECONDS

OPEN = {"/livez", "/readyz", "/healthz", "/metrics", "/openapi.json"}


@pytest.fixture
def client(migrated_sqlite: Path, tmp_path: Path) -> Iterator[TestClient]:
    """A client with a key."""
    shutil.copy(migrated_sqlite, tmp_path / "hone.db")
    app = create_app(Settings(home=tmp_path, workers=False))
    with unit_of_work(app.state.studio.engine) as session:
        accounts = Accounts(session)
        _, key = accounts.create_key(accounts.ensure_owner(), "tests")
    with TestClient(app, base_url="http://127.0.0.1", headers={"Authorization": f"Bearer {key}"}) as made:
        yield made


@pytest.fixture
def studio(client: TestClient) -> Studio:
    made: Studio = client.app.state.studio  # type: ignore[attr-defined]
    return made


@pytest.fixture
def owner(studio: Studio) -> Identity:
    with unit_of_work(studio.engine) as session:
        return Accounts(session).ensure_owner()


def test_every_route_for_programs_wants_a_key(client: TestClient) -> None:
    del client.headers["Authorization"]
    paths = client.get("/openapi.json").json()["paths"]
    asked = [(method, path) for path, methods in paths.items() if path.startswith(("/api/", "/v1/")) for method in methods]
    assert len(asked) >= 17
    for method, path in asked:
        for headers in ({}, {"Authorization": "Bearer hone_wrong"}, {"Authorization": "Basic eDp5"}):
            answer = client.request(method, path.replace("{", "").replace("}", ""), headers=headers)
            assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key"), (method, path)


def test_what_is_open_is_open_and_says_nothing_of_the_inside(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.services.readiness.PATIENCE_SECONDS", PATIENCE_SECONDS)  # this machine may be busy
    del client.headers["Authorization"]
    for path in OPEN:
        assert client.get(path).status_code == 200
    assert client.get("/readyz").json() == {"status": "ok", "checks": dict.fromkeys(("database", "migrations", "storage", "disk"), True)}


def test_a_revoked_key_is_worthless(client: TestClient, studio: Studio, owner: Identity) -> None:
    with unit_of_work(studio.engine) as session:
        accounts = Accounts(session)
        key, secret = accounts.create_key(owner, "old")
        accounts.revoke_key(owner, key.id)
    assert client.get("/api/v1/runs", headers={"Authorization": f"Bearer {secret}"}).status_code == 401


def test_another_projects_things_are_not_there(client: TestClient, studio: Studio, owner: Identity) -> None:
    from app.db import Project

    with unit_of_work(studio.engine) as session:
        other = Project(name="other")
        session.add(other)
        session.flush()
        stranger = Identity(owner.user_id, "owner", other.id, "other")
    dataset = add_dataset(studio.engine, stranger)
    run = add_run(studio.engine, stranger, dataset)
    for path in (
        f"datasets/{dataset}",
        f"datasets/{dataset}/rows",
        f"runs/{run}",
        f"runs/{run}/metrics",
        f"runs/{run}/events",
        f"runs/{run}/log",
        f"runs/{run}/samples",
    ):
        assert client.get(f"/api/v1/{path}").status_code == 404, path
    assert client.post(f"/api/v1/runs/{run}/cancel").status_code == 404
    assert client.delete(f"/api/v1/datasets/{dataset}").status_code == 404
    assert client.get("/api/v1/runs").json() == {"data": [], "has_more": False}


def test_lists_come_newest_first_and_by_page(client: TestClient, studio: Studio, owner: Identity) -> None:
    dataset = add_dataset(studio.engine, owner)
    made = [add_run(studio.engine, owner, dataset, name=f"run {n}") for n in range(5)]
    first = client.get("/api/v1/runs", params={"limit": 3}).json()
    assert [run["id"] for run in first["data"]] == made[:1:-1]
    assert first["has_more"]
    second = client.get("/api/v1/runs", params={"limit": 3, "after": first["data"][-1]["id"]}).json()
    assert ([run["id"] for run in second["data"]], second["has_more"]) == (made[1::-1], False)


def test_rows_that_a_run_has_used_cannot_be_mapped_again(client: TestClient, studio: Studio, owner: Identity) -> None:
    dataset = add_dataset(studio.engine, owner)
    with unit_of_work(studio.engine) as session:
        version = session.get_one(DatasetVersion, session.get_one(Dataset, dataset).version_id)
        version.frozen_at = utc_now()
    answer = client.patch(f"/api/v1/datasets/{dataset}", json={"system": "Be brief."})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "dataset_frozen")


def test_a_dataset_goes_once_its_runs_have_ended(client: TestClient, studio: Studio, owner: Identity) -> None:
    dataset = add_dataset(studio.engine, owner)
    run = add_run(studio.engine, owner, dataset)
    assert client.delete(f"/api/v1/datasets/{dataset}").status_code == 409
    assert client.post(f"/api/v1/runs/{run}/cancel").json()["status"] == "cancelled"
    assert client.delete(f"/api/v1/datasets/{dataset}").status_code == 204
    assert client.get(f"/api/v1/datasets/{dataset}").status_code == 404
    assert client.get(f"/api/v1/runs/{run}").status_code == 200


def test_a_foreign_host_is_not_answered(client: TestClient) -> None:
    assert client.get("/api/v1/runs", headers={"Host": "evil.example"}).status_code == 400


def test_too_large_an_upload_is_refused_before_it_is_read(migrated_sqlite: Path, tmp_path: Path) -> None:
    shutil.copy(migrated_sqlite, tmp_path / "hone.db")
    app = create_app(Settings(home=tmp_path, workers=False, max_upload_bytes=1000))
    with unit_of_work(app.state.studio.engine) as session:
        accounts = Accounts(session)
        _, key = accounts.create_key(accounts.ensure_owner(), "tests")
    with TestClient(app, base_url="http://127.0.0.1", headers={"Authorization": f"Bearer {key}"}) as client:
        for size in (1001, 200_000):
            answer = client.post("/api/v1/datasets", files={"file": ("x.jsonl", b'{"prompt": "a", "completion": "b"}\n' * (size // 34))})
            assert answer.status_code == 413 if size > 1020 else 201, answer.text
    assert not list((tmp_path / "artifacts" / "incoming").iterdir())


def test_the_description_is_complete(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    operations = [operation for methods in document["paths"].values() for operation in methods.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(names) == len(set(names))
    assert all(operation.get("summary") and operation.get("description") for operation in operations)
    assert all("security" in o for path, methods in document["paths"].items() if path.startswith("/api/") for o in methods.values())


def test_runs_are_compared_by_commas_or_one_at_a_time(client: TestClient, studio: Studio, owner: Identity) -> None:
    dataset = add_dataset(studio.engine, owner)
    ids = [add_run(studio.engine, owner, dataset, name=name) for name in ("one", "two")]
    told = client.get("/api/v1/runs/compare", params={"ids": ",".join(ids)})
    assert [run["id"] for run in told.json()["runs"]] == ids
    assert client.get("/api/v1/runs/compare", params={"ids": ids}).json() == told.json()


def test_a_comparison_that_cannot_be_is_refused_by_name(client: TestClient, studio: Studio, owner: Identity) -> None:
    run_id = add_run(studio.engine, owner, add_dataset(studio.engine, owner))
    asked = {run_id: (422, "ids"), ",".join("abcdefg"): (422, "ids"), f"{run_id},nowhere": (404, None)}
    for ids, expected in asked.items():
        answer = client.get("/api/v1/runs/compare", params={"ids": ids})
        assert (answer.status_code, answer.json()["error"]["param"]) == expected
