"""Filtering the board in a real Chromium, while doorbells ring."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from app.services.studio import Studio
from tests.web.walk import ring, silence
from tools.sample_team import Team, fill_team

pytestmark = pytest.mark.browser


@pytest.fixture
def running(page: Page, studio: Studio) -> Locator:
    """The board's running group, opened: a team's four runs, and no doorbell but the test's."""
    fill_team(studio, Team(running=4, waiting=0, done=0))
    silence(page)
    page.goto("/board")
    found = page.get_by_role("region", name="Running")
    expect(found).to_contain_text("tone-v3")
    return found


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


def test_a_filter_calls_off_what_a_doorbell_asked_for_before_it(page: Page, running: Locator) -> None:
    page.route("**/board", lambda _: None)  # answered late: never
    with page.expect_request("**/board"):
        ring(page, "board-now")
    with page.expect_event("requestfailed", lambda request: request.url.endswith("/board")):
        page.get_by_label("Owner").select_option("Lena")
    expect(running).not_to_contain_text("tone-v3")


def test_a_doorbell_that_rings_while_one_filters_asks_for_what_is_left(page: Page, running: Locator) -> None:
    held: list[Route] = []
    page.route("**/board?*days=*", lambda route: held.append(route), times=1)  # noqa: PLW0108 - playwright marks its handlers, and a method of a list takes no mark
    with page.expect_request("**/board?*days=*"):
        page.get_by_label("Owner").select_option("Lena")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    ring(page, "board-now")
    with page.expect_response("**/board?owner=Lena"):
        held[0].continue_()
    assert [url for url in asked if url.endswith("/board")] == []
    expect(running).not_to_contain_text("tone-v3")
