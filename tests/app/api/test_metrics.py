"""What Prometheus reads: valid, complete, without names of people, and there when the database is not."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Engine

from app.config import PROJECT_ROOT, Settings
from app.db import EventRow, Run, WorkerRow
from app.db.base import utc_now
from app.db.counters import RUN_STEPS, count
from app.db.session import unit_of_work
from app.domain.devices import Device, as_facts
from app.main import create_app
from app.services.accounts import Identity
from tests.databases import add_dataset, add_run
from tests.waiting import PATIENCE_SECONDS, until

GPU = Device(name="NVIDIA L4", kind="gpu", uuid="GPU-0aa", total_bytes=24_000, used_bytes=9_000, ours_bytes=6_000)
Numbers = dict[tuple[str, ...], float]


@pytest.fixture
def client(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setattr("app.api.numbers.PATIENCE_SECONDS", PATIENCE_SECONDS)  # this machine may be busy
    url = engine.url.render_as_string(hide_password=False)
    app = create_app(Settings(home=tmp_path, workers=False, database_url=url))
    yield TestClient(app, base_url="http://127.0.0.1")
    app.state.studio.engine.dispose()


def numbers(client: TestClient) -> Numbers:
    """Return every sample by its name and the values of its labels, sorted by theirs."""
    families = list(text_string_to_metric_families(client.get("/metrics").text))
    assert all(family.documentation for family in families)
    return {(one.name, *(one.labels[label] for label in sorted(one.labels))): one.value for family in families for one in family.samples}


def add_worker(engine: Engine, *, silent: float = 1.0, **columns: object) -> None:
    with unit_of_work(engine) as session:
        wanted = {"host": "forge", "pid": 1, "queue": "gpu", "device": "NVIDIA L4", "updated_at": time.time() - silent} | columns
        session.add(WorkerRow(**wanted))


def test_a_fresh_studio_has_every_number_at_nothing(client: TestClient) -> None:
    found = numbers(client)
    names = {name for name, *_ in found}
    assert names == {
        "hone_runs", "hone_run_steps_total", "hone_lease_expired_total", "hone_stale_write_rejected_total", "hone_queue_waiting",
        "hone_queue_oldest_seconds", "hone_workers", "hone_webhook_deliveries", "hone_database_up", "hone_disk_free_bytes",
        "hone_disk_size_bytes",
    }  # fmt: skip
    assert found["hone_database_up",] == 1
    assert {value for (name, *_), value in found.items() if "disk" not in name and name != "hone_database_up"} == {0}


def test_the_operators_page_lists_every_number_and_no_other(client: TestClient) -> None:
    listed = re.findall(r"`((?:hone|http)_\w+)`", (PROJECT_ROOT / "docs" / "operating.md").read_text(encoding="utf-8"))
    told = re.findall(r"^# TYPE (\w+) ", client.get("/metrics").text, re.MULTILINE)
    assert set(told) - {"http_request_duration_seconds_created"} == set(listed)


def test_runs_and_queues_are_counted(client: TestClient, engine: Engine, owner: Identity) -> None:
    dataset = add_dataset(engine, owner)
    for status in ("queued", "queued", "running"):
        add_run(engine, owner, dataset, status=status)
    found = numbers(client)
    assert found["hone_runs", "queued"] == 2
    assert found["hone_runs", "running"] == 1
    assert found["hone_queue_waiting", "gpu"] == 2
    assert found["hone_queue_waiting", "cpu"] == 0
    assert found["hone_queue_oldest_seconds", "gpu"] > 0


def test_how_long_the_oldest_has_waited_begins_anew_when_it_waits_again_and_not_when_it_is_renamed(
    client: TestClient, engine: Engine, owner: Identity
) -> None:
    run_id = add_run(engine, owner, add_dataset(engine, owner), created_at=utc_now() - timedelta(hours=3))
    with unit_of_work(engine) as session:
        session.get_one(Run, run_id).name = "another name"
    assert numbers(client)["hone_queue_oldest_seconds", "gpu"] > 3 * 3600 - 60
    with unit_of_work(engine) as session:
        lost = utc_now() - timedelta(hours=1)
        session.add(EventRow(project_id=owner.project_id, subject_id=run_id, type="lost", message="x", time=lost))
    assert 3600 - 60 < numbers(client)["hone_queue_oldest_seconds", "gpu"] < 2 * 3600


def test_steps_stay_counted_when_their_run_is_deleted(client: TestClient, engine: Engine) -> None:
    with unit_of_work(engine) as session:
        count(session, RUN_STEPS, by=40)
        count(session, RUN_STEPS, by=2)
    assert numbers(client)["hone_run_steps_total",] == 42


def test_workers_and_their_gpus_are_told_apart(client: TestClient, engine: Engine) -> None:
    add_worker(engine, busy_with="x", facts=as_facts([GPU.model_copy(update={"temperature_c": 58, "power_watts": 61.5})]))
    add_worker(engine, facts=as_facts([GPU.model_copy(update={"uuid": "GPU-1bb"})]))
    add_worker(engine, queue="cpu")
    add_worker(engine, silent=86_000, facts=as_facts([GPU]))
    found = numbers(client)
    workers = {tuple(labels): value for (name, *labels), value in found.items() if name == "hone_workers" and value}
    assert workers == {("gpu", "busy"): 1, ("gpu", "idle"): 1, ("gpu", "lost"): 1, ("cpu", "idle"): 1}
    assert found["hone_gpu_memory_bytes", "GPU-0aa", "forge", "ours"] == 6_000
    assert found["hone_gpu_memory_bytes", "GPU-1bb", "forge", "total"] == 24_000
    drawn = {labels[1:]: value for labels, value in found.items() if labels[0] == "hone_gpu_power_watts"}
    assert drawn == {("GPU-0aa", "forge"): 61.5}  # nothing of one whose driver does not say
    assert found["hone_gpu_temperature_celsius", "GPU-0aa", "forge"] == 58


def test_requests_are_timed_by_template_and_no_label_names_anybody(client: TestClient) -> None:
    client.get("/api/v1/runs/0193")
    client.get("/wp-admin.php")
    client.request("BREW", "/api/v1/runs/0193")
    client.get("/static/css/base.css")
    counted = {tuple(labels): value for (name, *labels), value in numbers(client).items() if name == "http_request_duration_seconds_count"}
    assert counted == {
        ("/api/v1/runs/{run_id}", "GET", "4xx"): 1, ("none", "GET", "4xx"): 1, ("/api/v1/runs/{run_id}", "other", "4xx"): 1,
        ("/static", "GET", "2xx"): 1,
    }  # fmt: skip


def test_without_its_database_a_studio_still_gives_numbers(tmp_path: Path) -> None:
    app = create_app(Settings(home=tmp_path, workers=False, database_url="postgresql://nobody:canary@127.0.0.1:9/nothing"))
    found = numbers(TestClient(app, base_url="http://127.0.0.1"))
    assert found["hone_database_up",] == 0
    assert found["hone_disk_free_bytes", "store"] > 0


@pytest.mark.parametrize("hangs", [True, False])
def test_a_place_that_hangs_or_is_gone_costs_its_own_numbers_alone(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, hangs: bool
) -> None:
    store, look, ended = tmp_path / "artifacts" / "incoming", os.statvfs, threading.Event()
    if hangs:
        monkeypatch.setattr(os, "statvfs", lambda place: ended.wait(PATIENCE_SECONDS) if place == store else look(place))
        monkeypatch.setattr("app.api.numbers.PATIENCE_SECONDS", 0.5)
    else:
        store.rename(tmp_path / "gone")
    found = until(lambda: with_runs(numbers(client)))
    ended.set()
    assert found["hone_disk_free_bytes", "runs"] > 0
    assert ("hone_disk_free_bytes", "store") not in found


def with_runs(found: Numbers) -> Numbers:
    """Return the numbers that came before the patience was over, once those of the runs' place were among them."""
    return found if ("hone_disk_free_bytes", "runs") in found else {}
