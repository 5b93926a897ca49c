"""REST of queues: limits and holds, priorities, moves, and when runs start."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from fastapi.testclient import TestClient

from app.db import Run, WorkerRow
from app.db.base import utc_now
from app.db.session import unit_of_work
from app.domain.runs import RunStatus
from app.services.accounts import Identity
from app.services.studio import Studio
from tests.app.api.test_rest import client, owner, studio
from tests.databases import add_dataset, add_run

__all__ = ["client", "owner", "studio"]


@pytest.fixture
def runs(studio: Studio, owner: Identity) -> list[str]:
    dataset = add_dataset(studio.engine, owner)
    return [add_run(studio.engine, owner, dataset, name=name) for name in "abc"]


def test_a_queue_is_limited_held_and_released(client: TestClient, runs: list[str]) -> None:
    assert [(one["name"], one["slots"], one["held"], one["waiting"]) for one in client.get("/api/v1/queues").json()["data"]] == [
        ("gpu", None, False, 3), ("cpu", None, False, 0),
    ]  # fmt: skip
    held = client.patch("/api/v1/queues/gpu", json={"held": True, "slots": 2}).json()
    assert (held["slots"], held["held"], held["held_by"]) == (2, True, "owner")
    assert client.get(f"/api/v1/runs/{runs[0]}").json()["waiting_for"].startswith("The queue is held by owner")
    assert client.patch("/api/v1/queues/gpu", json={"slots": None}).json()["slots"] is None
    assert client.patch("/api/v1/queues/gpu", json={"held": False}).json()["held_since"] is None


@pytest.mark.parametrize(("name", "body", "status"), [("tpu", {"held": True}, 404), ("gpu", {"slots": 0}, 422), ("gpu", {"size": 1}, 422)])
def test_what_makes_no_sense_of_a_queue_is_refused(client: TestClient, name: str, body: dict[str, object], status: int) -> None:
    assert client.patch(f"/api/v1/queues/{name}", json=body).status_code == status


def test_a_priority_is_changed_and_told(client: TestClient, runs: list[str]) -> None:
    assert client.get(f"/api/v1/runs/{runs[0]}").json()["priority"] == "normal"
    assert client.patch(f"/api/v1/runs/{runs[2]}", json={"priority": "high"}).json()["priority"] == "high"
    assert client.get(f"/api/v1/runs/{runs[0]}/events").json()["data"] == []
    [event] = client.get(f"/api/v1/runs/{runs[2]}/events").json()["data"]
    assert (event["type"], event["message"]) == ("priority", "owner set the priority to high.")
    assert client.patch(f"/api/v1/runs/{runs[2]}", json={"priority": "urgent"}).status_code == 422


def test_a_run_is_moved(client: TestClient, runs: list[str]) -> None:
    with_worker(client)
    first, second, third = runs
    assert client.post(f"/api/v1/runs/{third}/move", json={"before": first}).json()["waiting_for"] == "A worker takes it next."
    assert client.get(f"/api/v1/runs/{second}").json()["waiting_for"] == "2 runs are ahead of it."
    assert client.post(f"/api/v1/runs/{third}/move", json={"to": "last"}).json()["waiting_for"] == "2 runs are ahead of it."
    assert client.post(f"/api/v1/runs/{third}/move", json={"before": "gone"}).json()["error"]["code"] == "not_in_queue"
    assert client.post(f"/api/v1/runs/{third}/move", json={}).status_code == 422


def with_worker(client: TestClient) -> None:
    with unit_of_work(client.app.state.studio.engine) as session:  # type: ignore[attr-defined]
        session.add(WorkerRow(host="forge", pid=1, queue="gpu", device="CPU"))


def test_a_waiting_run_tells_when_it_starts(client: TestClient, studio: Studio, owner: Identity, runs: list[str]) -> None:
    with_worker(client)
    assert client.get(f"/api/v1/runs/{runs[1]}").json()["starts_at"] is None
    begun = utc_now() - timedelta(hours=1)
    ended = {"status": RunStatus.SUCCEEDED, "step": 10, "started_at": begun, "finished_at": begun + timedelta(minutes=10)}
    add_run(studio.engine, owner, add_dataset(studio.engine, owner), **ended)
    starts = datetime.fromisoformat(client.get(f"/api/v1/runs/{runs[1]}").json()["starts_at"])
    assert (starts - utc_now()).total_seconds() == pytest.approx(600, abs=30)


def test_a_stalled_run_says_since_when(client: TestClient, studio: Studio, runs: list[str]) -> None:
    since = utc_now().timestamp() - 600
    with unit_of_work(studio.engine) as session:
        run = session.get_one(Run, runs[0])
        run.status, run.stalled_at = RunStatus.RUNNING, since
    found = client.get(f"/api/v1/runs/{runs[0]}").json()
    assert found["waiting_for"] == "No step for 10 min."
    assert datetime.fromisoformat(found["stalled_at"]).timestamp() == pytest.approx(since)
