"""Axe finds no serious fault on any page, in any state, at both widths, light and dark."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.web.walk import all_pages
from tools.sample_project import Sample

pytestmark = pytest.mark.browser
SIZES = {1440: 900, 390: 844}
SERIOUS = {"serious", "critical"}
AUDIT = "async (rules) => (await axe.run({ exclude: ['#swagger'] }, { resultTypes: ['violations'], ...rules })).violations"
"""The inside of the API page is another project's."""
RULES: dict[str, dict[str, Any]] = {"light": {}, "dark": {"runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}}}
"""All that is not a colour is the same by day and by night."""
UNFOLD = "for (const one of document.querySelectorAll('details')) one.open = true"


@contextmanager
def opened(chromium: Browser, address: str, width: int) -> Iterator[Page]:
    page = chromium.new_page(base_url=address, viewport={"width": width, "height": SIZES[width]}, reduced_motion="reduce")
    yield page
    page.close()


def faults(page: Page, root: Path, scheme: str = "light") -> list[str]:
    """Return what axe holds against the page as it stands now."""
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    if not page.evaluate("'axe' in window"):
        page.evaluate((root / "node_modules/axe-core/axe.min.js").read_text(encoding="utf-8"))
    found: list[dict[str, Any]] = page.evaluate(AUDIT, RULES[scheme])
    where = f"{page.url} {page.viewport_size} {scheme}"
    return [
        f"{fault['id']} on {where}: {node['html'][:160]} {node['failureSummary'][:200]}"
        for fault in found
        if fault["impact"] in SERIOUS
        for node in fault["nodes"]
    ]


@pytest.mark.parametrize("width", [1440, pytest.param(390, marks=pytest.mark.slow)])
def test_no_page_has_a_serious_fault(chromium: Browser, address: str, sample: Sample, root: Path, width: int) -> None:
    found: list[str] = []
    with opened(chromium, address, width) as page:
        tour = ["/datasets?tour=1", "/runs/new?tour=2", f"/runs/{sample.runs['running']}?tour=3", "/chat?tour=4", "/settings"]
        for path in [*all_pages(sample), "/signin", "/docs", "/nowhere", *tour]:
            page.goto(path)
            page.evaluate(UNFOLD)
            for scheme in ("light", "dark"):
                found += faults(page, root, scheme)
    assert found == []


def test_what_opens_over_a_page_has_none_either(chromium: Browser, address: str, sample: Sample, root: Path) -> None:
    found: list[str] = []
    with opened(chromium, address, 1440) as page:
        for keys, shown in (("Control+k", "#palette-list a"), ("/", "#find-list a"), ("?", "#shortcuts a")):
            page.goto(f"/runs/{sample.runs['running']}")
            page.keyboard.press(keys)
            page.locator(shown).first.wait_for()
            for scheme in ("light", "dark"):
                found += faults(page, root, scheme)
    assert found == []


def test_a_planted_fault_is_found(page: Page, root: Path) -> None:
    page.goto("/signin")
    page.evaluate("document.querySelector('main').insertAdjacentHTML('beforeend', '<img src=\"/static/favicon.svg\"><button></button>')")
    found = faults(page, root)
    assert [rule in fault for rule, fault in zip(("button-name", "image-alt"), sorted(found), strict=True)] == [True, True]


def test_a_word_too_dim_to_read_in_the_dark_is_found(page: Page, root: Path) -> None:
    page.goto("/signin")
    page.evaluate("document.querySelector('main').insertAdjacentHTML('beforeend', '<p id=dim>Read me</p>')")
    page.evaluate(
        "for (const [name, value] of [['color', '#333'], ['background', '#222']]) document.getElementById('dim').style[name] = value"
    )
    assert ["color-contrast" in fault for fault in faults(page, root, "dark")] == [True]
