"""Estimates and prices over REST."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.config import Settings
from app.db import WorkerRow
from app.db.session import unit_of_work
from app.domain.devices import Device, as_facts
from app.main import create_app
from app.services.accounts import Accounts
from app.services.studio import Studio

GPU = Device(name="NVIDIA L4", kind="gpu", uuid="GPU-1", total_bytes=24_000_000_000, used_bytes=0, ours_bytes=0, utilisation=0)


@pytest.fixture
def client(migrated_sqlite: Path, tmp_path: Path) -> Iterator[TestClient]:
    shutil.copy(migrated_sqlite, tmp_path / "hone.db")
    app = create_app(Settings(home=tmp_path, workers=False))
    studio: Studio = app.state.studio
    with unit_of_work(studio.engine) as session:
        accounts = Accounts(session)
        _, key = accounts.create_key(accounts.ensure_owner(), "tests")
        session.add(WorkerRow(queue="gpu", host="a", pid=1, device="NVIDIA L4", facts=as_facts([GPU])))
    yield TestClient(app, base_url="http://127.0.0.1:8000", headers={"Authorization": f"Bearer {key}"})
    studio.engine.dispose()


def estimate(client: TestClient, **asked: Any) -> dict[str, Any]:
    answer = client.get("/api/v1/estimates", params=asked)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_size_is_priced_on_the_worker_s_device_and_on_rented_ones(client: TestClient) -> None:
    told = estimate(client, params="7e9", tuning="qlora", examples=5000)
    assert told["weights_bytes"]["1bit"] == 875_000_000
    names = {each["name"] for each in told["devices"]}
    assert "NVIDIA L4" in names
    assert "A100 80 GB at RunPod" in names
    assert told["cost_usd"]["cheapest"] is not None


def test_a_base_is_measured_by_its_configuration(client: TestClient) -> None:
    told = estimate(client, base_model="hone-starter", rank="8")
    assert (told["model"], told["exact"], told["settings"]["rank"]) == ("hone-starter", True, 8)


def test_posted_settings_are_a_run_s(client: TestClient) -> None:
    body = {"params": "7B", "settings": {"tuning": "full", "epochs": 1}}
    full = client.post("/api/v1/estimates", json=body).json()
    assert full["settings"]["tuning"] == "full"
    assert full["trained_parameters"] == full["parameters"] == 7_000_000_000


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({}, "base_model"),
        ({"params": "7e9", "base_model": "hone-starter"}, "base_model"),
        ({"params": "many"}, "params"),
        ({"params": "7e9", "rank": "no"}, "settings.rank"),
        ({"params": "7e9", "examples": 0}, "examples"),
        ({"params": "7e9", "tokens": -1}, "tokens"),
        ({"base_model": "nobody/nothing"}, "base_model"),
        ({"params": "7e9", "surprise": "1"}, "surprise"),
    ],
)
def test_nonsense_is_refused_by_the_name_of_its_field(client: TestClient, asked: dict[str, Any], param: str) -> None:
    answer = client.get("/api/v1/estimates", params=asked)
    assert answer.status_code == 422
    assert answer.json()["error"]["param"] == param


def test_the_tokens_of_a_dataset_are_counted_and_not_told(client: TestClient) -> None:
    answer = client.get("/api/v1/estimates", params={"params": "7e9", "dataset_id": "none", "tokens": 300})
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, "tokens")


def test_a_dataset_of_somebody_else_is_not_there(client: TestClient) -> None:
    assert client.get("/api/v1/estimates", params={"params": "7e9", "dataset_id": "none"}).status_code == 404


def test_prices_are_set_shown_used_and_forgotten(client: TestClient) -> None:
    table = client.get("/api/v1/prices").json()
    assert len(table["rentals"]) == 9
    mine = {"rentals": [{"provider": "Ours", "device": "h100", "label": "the big one", "hourly": 100}], "currency": "EUR"}
    assert client.put("/api/v1/prices", json=mine).status_code == 200
    told = estimate(client, params="70e9", tuning="qlora")
    assert told["currency"] == "EUR"
    assert told["cost_usd"]["cheapest"] is None
    assert {each["provider"] for each in told["devices"]} == {None, "Ours"}
    assert client.delete("/api/v1/prices").status_code == 204
    assert client.get("/api/v1/prices").json() == table


def test_prices_that_make_no_sense_are_refused(client: TestClient) -> None:
    assert client.put("/api/v1/prices", json={"price_per_kwh": -1}).status_code == 422
    assert client.put("/api/v1/prices", json={"currency": "money"}).status_code == 422
