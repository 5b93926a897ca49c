"""No page is wider than the window it is read in, and none complains in the console."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser

from app.db import Dataset, WorkerRow
from app.db.base import utc_now
from app.db.session import unit_of_work
from app.services.studio import Studio
from tests.web.walk import all_pages
from tools.sample_project import Sample

pytestmark = pytest.mark.browser
LONG = "a-machine-whose-name-is-long.example.com"


@pytest.mark.parametrize("width", [390, 768, 1440])
def test_no_page_is_wider_than_its_window(chromium: Browser, address: str, studio: Studio, sample: Sample, width: int) -> None:
    with unit_of_work(studio.engine) as session:
        session.add(WorkerRow(host=LONG, pid=911, queue="gpu", device="NVIDIA T4", updated_at=utc_now().timestamp() - 740))
    complaints: list[str] = []
    page = chromium.new_page(base_url=address, viewport={"width": width, "height": 900})
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    wide = []
    for path in [*all_pages(sample), "/runs?tag=nightly&sizes=1", "/datasets?tour=1"]:
        page.goto(path)
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            wide.append(path)
    page.close()
    assert (wide, complaints) == ([], [])


@pytest.mark.parametrize("width", [360, 390])
@pytest.mark.parametrize("labels", [["Measured before training", "measured-mails"], ["Data", "a_long_name_" * 6, "The Hub"]], ids=len)
def test_where_one_is_ends_before_the_buttons_of_a_phone(chromium: Browser, address: str, width: int, labels: list[str]) -> None:
    page = chromium.new_page(base_url=address, viewport={"width": width, "height": 844})
    page.goto("/runs")
    page.locator(".crumbs").evaluate(
        "(list, labels) => list.replaceChildren(...labels.map(label => Object.assign(document.createElement('li'), {textContent: label})))",
        labels,
    )
    ends = page.locator(".crumbs li").evaluate_all("crumbs => crumbs.map(crumb => crumb.getBoundingClientRect().right)")
    shown = page.locator(".crumbs li").evaluate_all("crumbs => crumbs.map(crumb => crumb.clientWidth)")
    buttons = page.locator(".top .phone-only").evaluate("buttons => buttons.getBoundingClientRect().left")
    page.close()
    assert max(ends) <= buttons
    assert min(shown) > 20


def test_short_crumbs_stay_whole_before_a_long_one(chromium: Browser, address: str) -> None:
    page = chromium.new_page(base_url=address, viewport={"width": 390, "height": 844})
    page.goto("/models/hub")
    page.locator(".crumbs").evaluate(
        "list => { list.append(list.lastElementChild.cloneNode()); list.lastChild.textContent = 'a'.repeat(60); }"
    )
    whole = page.locator(".crumbs li").evaluate_all(
        "crumbs => crumbs.map(crumb => crumb.scrollWidth <= crumb.getBoundingClientRect().width)"
    )
    page.close()
    assert whole == [True, True, False]


def test_the_rows_of_a_dataset_use_the_width_of_a_phone(chromium: Browser, address: str, sample: Sample) -> None:
    page = chromium.new_page(base_url=address, viewport={"width": 390, "height": 844})
    page.goto(f"/datasets/{sample.datasets['ready']}")
    widths = page.locator(".rows td.said").evaluate_all("cells => cells.map(cell => cell.getBoundingClientRect().width)")
    page.close()
    assert min(widths) > 300


@pytest.mark.parametrize("width", [390, 768])
def test_long_names_and_open_menus_stay_within_the_window(
    chromium: Browser, address: str, studio: Studio, sample: Sample, width: int
) -> None:
    with unit_of_work(studio.engine) as session:
        dataset = session.get_one(Dataset, sample.datasets["desk"])
        dataset.name = "a_name_without_any_break_" * 6
        for file in dataset.files:
            file.filename = "a_file_without_any_break_" * 6
    page = chromium.new_page(base_url=address, viewport={"width": width, "height": 844})
    desk = f"/datasets/{sample.datasets['desk']}"
    for path in (
        "/datasets",
        *(f"{desk}{more}" for more in ("", "/history", "/preflight", "/groups?problem=near_duplicate", "?problem=broken")),
    ):
        page.goto(path)
        page.evaluate("document.querySelectorAll('main details').forEach((each) => { each.open = true; })")
        assert page.evaluate("document.documentElement.scrollWidth") == width, path
    page.close()
