"""Values that a database cannot take are refused in words, on SQLite and PostgreSQL alike."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from app.config import Settings
from app.db.session import unit_of_work
from app.main import create_app
from app.services.accounts import Accounts, Identity
from tests.databases import add_dataset

ROWS = b'{"prompt": "a", "completion": "b"}\n'


@pytest.fixture
def client(engine: Engine, owner: Identity, tmp_path: Path) -> Iterator[TestClient]:
    url = engine.url.render_as_string(hide_password=False)
    app = create_app(Settings(home=tmp_path, database_url=url, workers=False))
    with unit_of_work(engine) as session:
        _, key = Accounts(session).create_key(owner, "tests")
    headers = {"Authorization": f"Bearer {key}"}
    yield TestClient(app, base_url="http://127.0.0.1", headers=headers, raise_server_exceptions=False, follow_redirects=False)
    app.state.studio.engine.dispose()


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"name": "a\0b"}, "name"), ({"base_model": "org/\0"}, "base_model"), ({"dataset_id": "\0"}, "dataset_id"),
        ({"settings": {"max_steps": 10**20}}, "settings.max_steps"),
        ({"settings": {"micro_batch_size": 10**9}}, "settings.micro_batch_size"),
    ],
)  # fmt: skip
def test_a_run_is_refused_by_the_field_at_fault(
    client: TestClient, engine: Engine, owner: Identity, change: dict[str, Any], param: str
) -> None:
    wanted = {"name": "x", "base_model": "hone-starter", "dataset_id": add_dataset(engine, owner)} | change
    answer = client.post("/api/v1/runs", json=wanted)
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, param)


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("downloads", r'{"repo": "a/b", "revision": "\ud800"}', "revision"),
        ("estimates", r'{"params": "7e9", "dataset_id": "\ud800"}', "dataset_id"),
        ("estimates", r'{"params": "7e9", "settings": {"\ud800": 1}}', "settings"),
        ("datasets/x/preflight", r'{"base_model": "hone-starter", "settings": {"\ud800": 1}}', "settings"),
        ("runs", r'{"name": "x", "base_model": "hone-starter", "dataset_id": "x", "settings": {"\ud800": 1}}', "settings"),
    ],
)
def test_half_a_character_is_refused_wherever_it_stands(client: TestClient, path: str, body: str, param: str) -> None:
    answer = client.post(f"/api/v1/{path}", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["error"]["param"].startswith(param)


def test_an_endless_number_is_no_number(client: TestClient, engine: Engine, owner: Identity) -> None:
    body = '{"name": "x", "base_model": "hone-starter", "dataset_id": "%s", "settings": {"max_grad_norm": Infinity}}'
    answer = client.post("/api/v1/runs", content=body % add_dataset(engine, owner), headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, "settings.max_grad_norm")


def test_more_epochs_than_anybody_trains_are_refused(client: TestClient, engine: Engine, owner: Identity) -> None:
    dataset = add_dataset(engine, owner, rows=20_000_000)
    settings = {"epochs": 1000, "batch_size": 1, "eval_every_steps": 5}
    answer = client.post("/api/v1/runs", json={"name": "x", "base_model": "hone-starter", "dataset_id": dataset, "settings": settings})
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, "settings.epochs")


@pytest.mark.parametrize(("name", "filename", "param"), [("a\0b", "a.jsonl", "name"), ("a", "a\0.jsonl", "filename")])
def test_an_upload_is_refused_and_nothing_stays(client: TestClient, tmp_path: Path, name: str, filename: str, param: str) -> None:
    head = f'--x\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n\r\n'
    body = head.encode() + ROWS + b'\r\n--x\r\nContent-Disposition: form-data; name="name"\r\n\r\n' + name.encode() + b"\r\n--x--\r\n"
    answer = client.post("/api/v1/datasets", content=body, headers={"Content-Type": "multipart/form-data; boundary=x"})
    assert answer.status_code == 422
    assert answer.json()["error"]["param"] in {param, "file"}
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.name.startswith("upload-")] == []


def test_a_system_prompt_is_refused(client: TestClient, engine: Engine, owner: Identity) -> None:
    answer = client.patch(f"/api/v1/datasets/{add_dataset(engine, owner)}", json={"system": "a\0b"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, "system")


@pytest.mark.parametrize("path", ["/settings/keys", "/runs", "/datasets/x/mapping"])
def test_a_form_is_refused(client: TestClient, path: str) -> None:
    assert client.post(path, data={"name": "a\0b", "system": "a\0b", "base_model": "\0"}).status_code in {404, 422}


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/runs/%00",
        "/api/v1/runs?after=%00",
        "/api/v1/runs/compare?ids=%00,x",
        "/api/v1/datasets/%00",
        "/runs/%00",
        "/datasets/%00",
        f"/api/v1/runs/x/events?after={10**20}",
    ],
)
def test_an_address_with_such_a_value_leads_nowhere(client: TestClient, path: str) -> None:
    assert client.get(path).status_code in {200, 404, 422}


def test_a_model_of_such_a_name_does_not_exist(client: TestClient) -> None:
    body = {"model": "ft:\0", "messages": [{"role": "user", "content": "hi"}]}
    assert client.post("/v1/chat/completions", json=body).status_code in {400, 404}
