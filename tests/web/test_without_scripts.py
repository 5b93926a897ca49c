"""Reading needs no scripts: what a page says and where it leads is there with scripts off."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.web.walk import all_pages
from tools.sample_project import Sample

pytestmark = pytest.mark.browser
SHOWN = """() => [...document.querySelectorAll('main h1, main h2, main th, main dt, main a[href], main summary')]
  .filter((one) => one.checkVisibility() && !one.closest('.top'))
  .map((one) => one.textContent.trim().replace(/\\s+/g, ' ').replace(/\\d+ \\w+ ago|just now/, 'ago')).filter(Boolean)"""
"""Without how long ago something was: the minute may end between two looks."""


def shown(page: Page, path: str) -> set[str]:
    page.goto(path)
    return set(page.evaluate(SHOWN))


def test_what_can_be_read_with_scripts_can_be_read_without(chromium: Browser, address: str, sample: Sample) -> None:
    viewport = {"width": 1440, "height": 900}
    with_scripts = chromium.new_page(base_url=address, viewport=viewport)  # type: ignore[arg-type]
    without = chromium.new_page(base_url=address, viewport=viewport, java_script_enabled=False)  # type: ignore[arg-type]
    for path in all_pages(sample):
        missing = shown(with_scripts, path) - shown(without, path)
        assert missing == set(), path
    for page in (with_scripts, without):
        page.close()


def test_a_preflight_waits_for_nothing_that_does_not_come(chromium: Browser, address: str, sample: Sample) -> None:
    page = chromium.new_page(base_url=address, java_script_enabled=False)
    page.goto(f"/datasets/{sample.datasets['ready']}/preflight")
    expect(page.get_by_role("progressbar")).to_be_hidden()
    page.get_by_role("link", name="Look now").click()
    expect(page).to_have_url(re.compile("look=1"))
    page.goto("/runs/new")
    expect(page.get_by_text("Rendering some rows")).to_be_hidden()
    expect(page.get_by_role("link", name="See which tokens would be learnt")).to_be_visible()
    page.close()


def test_search_and_the_way_back_work_without_scripts(chromium: Browser, address: str, sample: Sample) -> None:
    page = chromium.new_page(base_url=address, java_script_enabled=False)
    page.goto("/runs")
    expect(page.get_by_role("button", name="Commands")).to_be_hidden()
    page.locator("#find").fill("emails-long")
    page.locator("#find").press("Enter")
    page.locator("#found a", has_text="emails-long").click()
    expect(page).to_have_url(f"/runs/{sample.runs['running']}")
    expect(page.get_by_role("img", name="Loss by step")).to_be_visible()
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("h1")).to_contain_text("Pausing")
    page.close()
