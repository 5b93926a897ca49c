"""Predicted against measured: the page of all runs, the panel of one, and the same over REST."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from app.db import Run, WorkerRow, metrics
from app.db.session import reading, unit_of_work
from app.domain.accelerators import CPU, Accelerator
from app.domain.architectures import Architecture
from app.domain.devices import Device, as_facts
from app.domain.estimates import Target
from app.domain.holds import FACT, Hold
from app.domain.packs import Work
from app.domain.prices import PriceTable
from app.domain.specs import TrainingSettings
from app.services.accounts import Accounts
from app.services.predictions import foretell
from tests.web.walk import part

if TYPE_CHECKING:
    from fastapi.testclient import TestClient

    from app.services.studio import Studio
    from tools.sample_project import Sample

HERE = "CPU, 2 cores"
MACHINE: Accelerator = CPU._replace(name=HERE, memory_bytes=16 * 10**9)


def foretold() -> dict[str, Any]:
    target = Target(f"own:{HERE}", HERE, MACHINE, 1, None, None, is_own=True)
    work = Work(rows=100, steps=50, mean_tokens=60, longest_tokens=90)
    return foretell((Architecture.of_size(7e6), TrainingSettings(), work), [target], PriceTable())


@pytest.fixture
def key(studio: Studio) -> dict[str, str]:
    """What a program sends to be let in."""
    with unit_of_work(studio.engine) as session:
        accounts = Accounts(session)
        _, secret = accounts.create_key(accounts.ensure_owner(), "tests")
    return {"Authorization": f"Bearer {secret}"}


def finish(studio: Studio, run_id: str, *, device: str = HERE, seconds: float = 300.0) -> None:
    """Let a run of the sample project have been foretold, held once, and measured."""
    with unit_of_work(studio.engine) as session:
        run = session.get_one(Run, run_id)
        assert run.started_at
        begin = run.started_at.timestamp() - 20
        run.estimate = foretold()
        run.facts = run.facts | {FACT: [Hold(begin=begin, end=begin + seconds, host="bench", device=device).model_dump()]}
        peak = run.estimate["memory"]["total"] / 1.25
        metrics.append(session, run_id, 1, [metrics.Point(run.step, "memory/peak_bytes", peak)])


@pytest.mark.parametrize("headers", [{}, part("estimates_record")])
def test_a_run_s_errors_stand_in_the_table_with_their_median(
    browser: TestClient, studio: Studio, sample: Sample, headers: dict[str, str]
) -> None:
    finish(studio, sample.runs["done"])
    page = browser.get("/estimates", headers=headers).text
    assert f'href="/runs/{sample.runs["done"]}"' in page
    assert "+25.0 %" in page
    assert "1 run, worst 25.0 %" in page
    assert ("<!doctype html>" in page) == (not headers)


def test_what_was_learned_of_a_device_is_told(browser: TestClient, studio: Studio, sample: Sample) -> None:
    finish(studio, sample.runs["done"])
    page = browser.get("/estimates").text
    assert "FLOP/s" in page
    assert "20 s" in page  # before the first step


def test_running_errors_are_drawn_once_there_are_two(browser: TestClient, studio: Studio, sample: Sample) -> None:
    finish(studio, sample.runs["done"])
    assert '<svg class="plot"' not in browser.get("/estimates").text
    finish(studio, sample.runs["failed"])
    assert 'class="memory-error"' in browser.get("/estimates").text


def test_before_any_run_the_page_says_what_will_stand_there(empty: TestClient) -> None:
    assert "Nothing to compare yet" in empty.get("/estimates").text


def test_a_run_s_own_page_has_both_side_by_side(browser: TestClient, studio: Studio, sample: Sample) -> None:
    run_id = sample.runs["done"]
    assert "Predicted and measured" not in browser.get(f"/runs/{run_id}").text
    finish(studio, run_id)
    page = browser.get(f"/runs/{run_id}").text
    assert "Predicted and measured" in page
    assert "+25.0 %" in page
    assert "5 min" in page


def test_a_run_that_went_elsewhere_says_so(browser: TestClient, studio: Studio, sample: Sample) -> None:
    finish(studio, sample.runs["done"], device="NVIDIA L4")
    assert "It ran on NVIDIA L4" in browser.get(f"/runs/{sample.runs['done']}").text
    assert "foretold for another" in browser.get("/estimates").text


def test_programs_get_the_same(browser: TestClient, studio: Studio, sample: Sample, key: dict[str, str]) -> None:
    finish(studio, sample.runs["done"])
    found = browser.get("/api/v1/estimates/accuracy", headers=key).json()
    assert (found["memory"]["runs"], round(found["memory"]["median_error"], 6)) == (1, 0.25)
    [run] = found["runs"]
    assert (run["run_id"], run["seconds"]["measured"], run["device"]) == (sample.runs["done"], 300.0, HERE)
    assert found["learned"][0]["startup_seconds"] == pytest.approx(20.0)
    assert browser.get(f"/api/v1/runs/{run['run_id']}", headers=key).json()["estimate"]["device"]["name"] == HERE
    assert browser.get(f"/api/v1/runs/{sample.runs['failed']}", headers=key).json()["estimate"] is None


def test_a_launch_keeps_what_was_foretold(browser: TestClient, studio: Studio, sample: Sample, key: dict[str, str]) -> None:
    with unit_of_work(studio.engine) as session:
        card = Device(name="NVIDIA L4", kind="gpu", total_bytes=24 * 10**9, used_bytes=0)
        session.add(WorkerRow(host="cellar", pid=77, queue="gpu", device=card.name, has_gpu=True, facts=as_facts([card])))
    body = {"name": "foretold", "base_model": "hone-starter", "dataset_id": sample.datasets["ready"]}
    launched = browser.post("/api/v1/runs", json=body, headers=key)
    assert launched.status_code == 201, launched.text
    with reading(studio.engine) as session:
        kept = session.get_one(Run, launched.json()["id"]).estimate
    assert (kept["device"]["name"], kept["memory"]["fits"]) == ("NVIDIA L4", "yes")
    assert kept["flops"] > 0
    assert kept["work"]["rows"] > 0
