"""The wall screen in a real Chromium: it fits, finds its way back to the studio by itself, and is left by Esc."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from app.db import Run
from app.db.session import unit_of_work
from app.services.studio import Studio
from tools.sample_project import Sample
from tools.sample_team import Team, fill_team

pytestmark = pytest.mark.browser
LEAST_SHARE = 0.019
"""Letters of two hundredths of a screen's height: 13 mm on a large television, read from four metres."""
SMALLEST = """() => {
  const texts = [...document.querySelectorAll('.wall-now *, .clock')].filter((one) => [...one.childNodes].some(
    (node) => node.nodeType === 3 && node.textContent.trim()) && one.checkVisibility());
  return Math.min(...texts.map((one) => parseFloat(getComputedStyle(one).fontSize)));
}"""


@pytest.mark.parametrize(("width", "height"), [(1920, 1080), (3840, 2160)])
def test_it_fits_its_screen_and_is_read_from_afar(page: Page, studio: Studio, width: int, height: int) -> None:
    fill_team(studio, Team(running=30, waiting=20, done=3))
    page.set_viewport_size({"width": width, "height": height})
    page.goto("/board?wall=1")
    assert page.evaluate("[document.documentElement.scrollWidth, document.documentElement.scrollHeight]") == [width, height]
    cut = page.evaluate("[...document.querySelectorAll('.wall section')].filter((one) => one.scrollHeight > one.clientHeight + 1).length")
    assert cut == 0
    assert page.evaluate(SMALLEST) / height > LEAST_SHARE
    expect(page.locator(".rail")).to_be_hidden()


def test_it_is_left_by_esc_and_by_a_link(page: Page) -> None:
    page.goto("/board?owner=owner&wall=1")
    page.keyboard.press("Escape")
    page.wait_for_url("**/board?owner=owner")
    page.get_by_role("link", name="Wall screen").click()
    page.wait_for_url("**/board?owner=owner&wall=1")
    page.get_by_role("link", name=re.compile("Leave")).click()
    page.wait_for_url("**/board?owner=owner")


def test_what_happens_appears_and_a_lost_studio_is_said_and_found_again(page: Page, studio: Studio, sample: Sample) -> None:
    lost = {"now": True}
    page.route("**/live?*", lambda route: route.abort() if lost["now"] else route.continue_())
    page.goto("/board?wall=1")
    expect(page.locator("#stale")).to_be_visible()
    lost["now"] = False
    expect(page.locator("#stale")).to_be_hidden()
    with unit_of_work(studio.engine) as session:
        session.get_one(Run, sample.runs["running"]).step = 300
    expect(page.locator(".big .figures b")).to_have_text("82 %")
