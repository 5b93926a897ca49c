"""The wall screen in a real Chromium: it fits, finds its way back to the studio by itself, and is left by Esc."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, Route, expect

from app.db import Run
from app.db.session import unit_of_work
from app.services.studio import Studio
from tools.sample_project import Sample
from tools.sample_team import Team, fill_team

pytestmark = pytest.mark.browser
LEAST_SHARE = 0.019
"""Letters of two hundredths of a screen's height: 13 mm on a large television, read from four metres."""
RING = "document.getElementById('refetch-board-now').click()"
"""What a doorbell does, without the pause between two of them."""
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
    expect(page.locator("#stale")).to_be_visible(timeout=20_000)
    lost["now"] = False
    expect(page.locator("#stale")).to_be_hidden(timeout=20_000)
    with unit_of_work(studio.engine) as session:
        session.get_one(Run, sample.runs["running"]).step = 300
    expect(page.locator(".big .figures b")).to_have_text("82 %", timeout=20_000)


def test_filters_follow_what_is_chosen_and_the_address_with_them(page: Page, studio: Studio) -> None:
    fill_team(studio, Team(running=4, waiting=0, done=0))
    page.goto("/board")
    running = page.get_by_role("region", name="Running")
    expect(running).to_contain_text("tone-v3")
    page.get_by_label("Owner").focus()
    with page.expect_response("**/board?*owner=Lena*"):
        page.get_by_label("Owner").select_option("Lena")
    expect(running).not_to_contain_text("tone-v3")
    expect(running).to_contain_text("intents-v2")
    page.wait_for_url(re.compile(r"/board\?owner=Lena$"))
    expect(page.get_by_label("Owner")).to_be_focused()
    with page.expect_response("**/board?owner=Lena"):
        page.evaluate("htmx.trigger(document.body, 'runs-changed')")
    expect(running).not_to_contain_text("tone-v3")
    page.locator("#board-q").fill("nothing like it")
    expect(page.locator("#board-now")).to_contain_text("No run fits these filters")
    page.get_by_role("link", name="Clear all filters").click()
    page.wait_for_url(re.compile(r"/board$"))


def test_a_filter_calls_off_what_a_doorbell_asked_for_before_it(page: Page, studio: Studio) -> None:
    fill_team(studio, Team(running=4, waiting=0, done=0))
    page.goto("/board")
    running = page.get_by_role("region", name="Running")
    expect(running).to_contain_text("tone-v3")
    page.route("**/board", lambda _: None)  # answered late: never
    with page.expect_request("**/board"):
        page.evaluate(RING)
    with page.expect_event("requestfailed", lambda request: request.url.endswith("/board")):
        page.get_by_label("Owner").select_option("Lena")
    expect(running).not_to_contain_text("tone-v3")


def test_a_doorbell_that_rings_while_one_filters_asks_for_what_is_left(page: Page, studio: Studio) -> None:
    fill_team(studio, Team(running=4, waiting=0, done=0))
    page.goto("/board")
    running = page.get_by_role("region", name="Running")
    expect(running).to_contain_text("tone-v3")
    held: list[Route] = []
    page.route("**/board?*days=*", lambda route: held.append(route), times=1)  # noqa: PLW0108 - playwright marks its handlers, and a method of a list takes no mark
    with page.expect_request("**/board?*days=*"):
        page.get_by_label("Owner").select_option("Lena")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.evaluate(RING)
    with page.expect_response("**/board?owner=Lena"):
        held[0].continue_()
    assert [url for url in asked if url.endswith("/board")] == []
    expect(running).not_to_contain_text("tone-v3")
