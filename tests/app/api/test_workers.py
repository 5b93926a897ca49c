"""REST of workers: their state by their silence, their devices, and no run of another project."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fastapi.testclient import TestClient

from app.db import Project, WorkerRow
from app.db.base import utc_now
from app.db.session import unit_of_work
from app.domain.bells import Bell
from app.domain.devices import Device, as_facts
from app.services.accounts import Identity
from app.services.studio import Studio
from tests.app.api.test_rest import client, owner, studio
from tests.databases import add_dataset, add_run

__all__ = ["client", "owner", "studio"]
GPU = Device(name="NVIDIA L4", kind="gpu", uuid="GPU-0aa", total_bytes=24_000, used_bytes=9_000, ours_bytes=6_000)


def add_worker(studio: Studio, host: str, *, silent: float = 1.0, **columns: object) -> None:
    with unit_of_work(studio.engine) as session:
        seen = utc_now().timestamp() - silent
        session.add(WorkerRow(**{"host": host, "pid": 7, "queue": "gpu", "device": "NVIDIA L4", "updated_at": seen} | columns))


def test_workers_come_with_their_devices_and_the_lost_at_the_end(client: TestClient, studio: Studio, owner: Identity) -> None:
    run = add_run(studio.engine, owner, add_dataset(studio.engine, owner))
    add_worker(studio, "lost", silent=300)
    add_worker(studio, "reader", queue="cpu", device="CPU")
    add_worker(studio, "busy", busy_with=run, facts=as_facts([GPU]), has_gpu=True)
    add_worker(studio, "late", silent=40)
    add_worker(studio, "left", left_at=utc_now())
    add_worker(studio, "forgotten", silent=100_000)
    found = {one["host"]: one for one in client.get("/api/v1/workers").json()["data"]}
    assert list(found) == ["busy", "late", "reader", "lost"]
    assert {host: one["state"] for host, one in found.items()} == {"busy": "busy", "late": "silent", "reader": "idle", "lost": "lost"}
    assert (found["busy"]["run_id"], found["busy"]["run_ids"]) == (run, [run])
    assert found["busy"]["devices"] == [GPU.model_dump()]
    assert found["reader"]["devices"] == []
    assert 39 < found["late"]["silent_seconds"] < 60


def test_a_worker_tells_of_its_slots_its_bell_and_what_keeps_it(client: TestClient, studio: Studio, owner: Identity) -> None:
    dataset = add_dataset(studio.engine, owner)
    bell = Bell(by="redis", is_there=True, is_heard=True).as_facts()
    add_worker(studio, "two", id="two", facts={"slots": 2, "waiting": "It is held."} | bell)
    runs = [add_run(studio.engine, owner, dataset, status="running", lease_owner="two", lease_expires_at=2**40) for _ in range(2)]
    add_run(studio.engine, owner, dataset, status="succeeded", lease_owner="two")
    add_worker(studio, "plain")
    plain, two = sorted(client.get("/api/v1/workers").json()["data"], key=lambda one: one["host"])
    assert (two["run_ids"], two["run_id"], two["state"], two["slots"]) == (runs, runs[0], "busy", 2)
    assert (two["waiting"], two["bell"]) == ("It is held.", "rung by Redis")
    assert (plain["run_ids"], plain["slots"], plain["waiting"], plain["bell"]) == ([], 1, None, "looks by itself")


@pytest.mark.parametrize(("lease", "state"), [(20.0, "lost"), (300.0, "silent")])
def test_a_worker_is_lost_when_its_own_lease_has_run_out(client: TestClient, studio: Studio, lease: float, state: str) -> None:
    add_worker(studio, "quiet", silent=40, facts={"lease_seconds": lease})
    assert client.get("/api/v1/workers").json()["data"][0]["state"] == state


def test_what_others_train_is_not_told(client: TestClient, studio: Studio, owner: Identity) -> None:
    with unit_of_work(studio.engine) as session:
        other = Project(name="other")
        session.add(other)
        session.flush()
        stranger = replace(owner, project_id=other.id)
    add_worker(studio, "busy", busy_with=add_run(studio.engine, stranger, add_dataset(studio.engine, stranger)))
    [worker] = client.get("/api/v1/workers").json()["data"]
    assert (worker["state"], worker["run_id"]) == ("busy", None)


@pytest.mark.parametrize("headers", [{"Authorization": "Bearer hone_wrong"}, {"Authorization": ""}])
def test_workers_are_no_strangers_business(client: TestClient, headers: dict[str, str]) -> None:
    answer = client.get("/api/v1/workers", headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")


def test_the_list_is_described(client: TestClient) -> None:
    operation = client.get("/openapi.json").json()["paths"]["/api/v1/workers"]["get"]
    assert operation["operationId"] == "list_workers"
    assert "devices" in operation["description"]
