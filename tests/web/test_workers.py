"""The workers' page: what each takes, how it is rung, what keeps it, and all that it runs."""

from __future__ import annotations

from fastapi.testclient import TestClient

from app.db.session import unit_of_work
from app.domain.bells import Bell
from app.domain.devices import Device, Disk, as_facts
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


def test_heat_power_processor_and_disk_are_shown_where_a_worker_tells_of_them(browser: TestClient, studio: Studio) -> None:
    gpu = Device(
        name="NVIDIA L4", kind="gpu", total_bytes=24 * 10**9, used_bytes=0, utilisation=0.5, temperature_c=58.4, power_watts=61.2,
        power_limit_watts=72,
    )  # fmt: skip
    disk = Disk(total_bytes=900 * 10**9, free_bytes=225 * 10**9)
    cpu = Device(name="CPU, 16 cores", kind="cpu", total_bytes=64 * 10**9, used_bytes=0, processor="AMD EPYC 7B13", cores=16, disk=disk)
    add_worker(studio, "cellar", facts=as_facts([gpu, cpu]))
    add_worker(studio, "cellar", queue="cpu", facts=as_facts([cpu]))
    for address in ("/workers", "/board"):
        page = browser.get(address).text
        assert "50 % in use, 58 °C, 61 of 72 W" in page
        assert "AMD EPYC 7B13, 16 cores" in page
        assert page.count("disk: 225 GB free") == 1  # once for each machine
        assert '<rect class="others" width="75.0" height="8"/>' in page
    assert "0 B of 24.0 GB, 58 °C" in browser.get("/board?wall=1").text


def test_a_gpu_so_warm_that_it_may_slow_down_is_called_hot(browser: TestClient, studio: Studio) -> None:
    warm = Device(name="NVIDIA L4", kind="gpu", total_bytes=24 * 10**9, used_bytes=0, temperature_c=91)
    add_worker(studio, "cellar", facts=as_facts([warm]))
    assert '<span class="wait">91 °C, hot</span>' in browser.get("/workers").text


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
