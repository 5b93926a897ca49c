"""The workers' page: what each takes, how it is rung, what keeps it, and all that it runs."""

from __future__ import annotations

from fastapi.testclient import TestClient

from app.db.session import unit_of_work
from app.domain.bells import Bell
from app.services.accounts import Accounts, Identity
from app.services.studio import Studio
from tests.app.api.test_workers import add_worker
from tests.databases import add_dataset, add_run


def owner_of(studio: Studio) -> Identity:
    with unit_of_work(studio.engine) as session:
        return Accounts(session).ensure_owner()


def test_a_worker_of_two_slots_shows_both_of_its_runs(browser: TestClient, studio: Studio) -> None:
    owner = owner_of(studio)
    dataset = add_dataset(studio.engine, owner)
    add_worker(studio, "two", id="two", facts={"slots": 2})
    runs = {
        add_run(studio.engine, owner, dataset, name=name, status="running", lease_owner="two", lease_expires_at=2**40): name
        for name in ("emails", "notes")
    }
    page = browser.get("/workers").text
    assert "training, 2 at once" in page
    for run_id, name in runs.items():
        assert f'<a href="/runs/{run_id}">{name}</a>' in page


def test_what_keeps_a_worker_and_a_silent_bell_are_said(browser: TestClient, studio: Studio) -> None:
    bell = Bell(by="redis").as_facts()
    add_worker(studio, "kept", facts={"waiting": "NVIDIA L4 is not free yet: an earlier trainer still holds it (process 12)"} | bell)
    page = browser.get("/workers").text
    assert "an earlier trainer still holds it (process 12)" in page
    assert '<span class="small wait">Redis does not answer; looks by itself</span>' in page


def test_of_a_worker_that_is_as_it_should_be_nothing_is_said(browser: TestClient, studio: Studio) -> None:
    add_worker(studio, "laptop")
    add_worker(studio, "rung", facts=Bell(by="redis", is_there=True, is_heard=True).as_facts())
    page = browser.get("/workers").text
    assert "looks by itself" not in page
    assert "rung by Redis" not in page
