"""Webhooks over REST: who may, what is refused, that the secret is shown once."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.config import Settings
from app.db import Project, Webhook
from app.db.session import unit_of_work
from app.main import create_app
from app.services.accounts import Accounts
from app.services.studio import Studio

URL = "https://example.com/hooks/hone"


@pytest.fixture
def client(migrated_sqlite: Path, tmp_path: Path) -> Iterator[TestClient]:
    """A client with a key; no lifespan, so that nothing is sent while a test looks."""
    shutil.copy(migrated_sqlite, tmp_path / "hone.db")
    app = create_app(Settings(home=tmp_path, workers=False))
    studio: Studio = app.state.studio
    with unit_of_work(studio.engine) as session:
        accounts = Accounts(session)
        _, key = accounts.create_key(accounts.ensure_owner(), "tests")
    yield TestClient(app, base_url="http://127.0.0.1:8000", headers={"Authorization": f"Bearer {key}"})
    studio.engine.dispose()


@pytest.fixture
def foreign(client: TestClient) -> str:
    """A webhook of another project."""
    studio: Studio = client.app.state.studio  # type: ignore[attr-defined]
    with unit_of_work(studio.engine) as session:
        project = Project(name="theirs")
        session.add(project)
        session.flush()
        theirs = Webhook(project_id=project.id, url=URL, events=[], studio_address="x", secret="x", secret_key_id="x")
        session.add(theirs)
        session.flush()
        return theirs.id


def test_an_endpoint_is_made_shown_switched_tried_and_forgotten(client: TestClient) -> None:
    made = client.post("/api/v1/webhooks", json={"url": URL, "events": ["run.failed"]})
    assert made.status_code == 201
    secret, address = made.json().pop("secret"), f"/api/v1/webhooks/{made.json()['id']}"
    assert secret.startswith("whsec_")
    shown = client.get(address)
    assert (shown.json()["url"], shown.json()["events"], shown.json()["enabled"]) == (URL, ["run.failed"], True)
    assert client.post(f"{address}/test").status_code == 202
    listed = client.get("/api/v1/webhooks").json()
    assert (listed["has_more"], listed["data"][0]["last_delivery"]["status"]) == (False, "waiting")
    changed = client.post(f"{address}/secret").json()["secret"]
    assert changed != secret
    assert client.patch(address, json={"enabled": False}).json()["enabled"] is False
    assert client.get(address).json()["last_delivery"]["status"] == "dropped"
    for told in (shown.text, client.get("/api/v1/webhooks").text, client.get(address).text):
        assert "whsec_" not in told
    assert client.delete(address).status_code == 204
    assert client.get(address).status_code == 404


def test_without_events_it_hears_of_every_end(client: TestClient) -> None:
    assert len(client.post("/api/v1/webhooks", json={"url": URL}).json()["events"]) == 4


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({}, "url", None),
        ({"url": 3}, "url", None),
        ({"url": "http://example.com/"}, "url", "unusable_address"),
        ({"url": "https://127.0.0.1/"}, "url", "unusable_address"),
        ({"url": "https://169.254.169.254/"}, "url", "unusable_address"),
        ({"url": URL, "events": ["run.paused"]}, "events", "unknown_event"),
        ({"url": URL, "events": []}, "events", "no_event"),
        ({"url": URL, "secret": "mine"}, "secret", "unknown_field"),
    ],
)
def test_what_is_wrong_is_named(client: TestClient, body: dict[str, object], param: str, code: str | None) -> None:
    answer = client.post("/api/v1/webhooks", json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["code"]) == (422, param, code)


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/test"), ("POST", "/secret")])
def test_another_projects_endpoint_is_not_there(client: TestClient, foreign: str, method: str, path: str) -> None:
    answer = client.request(method, f"/api/v1/webhooks/{foreign}{path}", json={"enabled": False} if method == "PATCH" else None)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "webhook_not_found")


def test_a_wrong_key_opens_nothing(client: TestClient) -> None:
    for method, path in (("GET", ""), ("POST", ""), ("DELETE", "/x"), ("POST", "/x/test")):
        answer = client.request(method, f"/api/v1/webhooks{path}", headers={"Authorization": "Bearer hone_wrong"}, json={"url": URL})
        assert answer.status_code == 401


def test_links_in_notices_begin_with_the_address_of_whoever_added_it(client: TestClient) -> None:
    client.post("/api/v1/webhooks", json={"url": URL})
    studio: Studio = client.app.state.studio  # type: ignore[attr-defined]
    with unit_of_work(studio.engine) as session:
        [webhook] = session.query(Webhook)
        assert webhook.studio_address == "http://127.0.0.1:8000"
