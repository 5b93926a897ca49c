"""Finding, choosing and writing on runs in a real Chromium, while doorbells ring."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, Route, expect

from tests.web.walk import ring, silence
from tools.sample_project import Sample

pytestmark = pytest.mark.browser


def test_typing_narrows_the_list_and_the_address_keeps_up(page: Page) -> None:
    page.goto("/runs")
    page.locator("#run-q").press_sequentially("emails-", delay=20)
    expect(page.locator("#runs-table")).not_to_contain_text("typo")
    expect(page).to_have_url(re.compile(r"/runs\?q=emails-$"))
    failed = page.locator("#runs-chips").get_by_role("link", name="Failed 1")
    expect(failed).to_have_attribute("href", re.compile("q=emails-$"))  # the chips come after the address
    failed.click()
    expect(page.locator("#runs-table tbody tr")).to_have_count(1)
    expect(page).to_have_url(re.compile(r"/runs\?status=failed&q=emails-$"))
    expect(page.locator("#run-q")).to_have_value("emails-")
    page.locator("#run-q").fill("")
    expect(page).to_have_url(re.compile(r"/runs\?status=failed$"))
    page.go_back()
    expect(page.locator("#run-q")).to_have_value("emails-")
    expect(page.locator("#runs-table tbody tr")).to_have_count(5)


def test_a_doorbell_asks_for_what_is_shown_and_leaves_ticks_and_typing_alone(page: Page, sample: Sample) -> None:
    page.goto("/runs")
    page.locator("#runs-chips").get_by_role("link", name="nightly 3").click()
    expect(page.locator("#runs-table tbody tr")).to_have_count(3)
    expect(page.locator("#delete-chosen")).to_be_hidden()
    page.locator(f"#pick-{sample.runs['failed']}").check()
    expect(page.locator("#delete-chosen")).to_be_visible()
    with page.expect_response(lambda response: response.url.endswith("/runs?tag=nightly")):
        page.evaluate("htmx.trigger(document.body, 'runs-changed')")
    expect(page.locator("#runs-table tbody tr")).to_have_count(3)
    expect(page.locator(f"#pick-{sample.runs['failed']}")).to_be_checked()
    page.locator("#delete-chosen").click()
    page.locator("#delete-now").click()
    expect(page.get_by_role("heading", name="1 run deleted")).to_be_visible()
    page.get_by_role("link", name="Back to the runs").click()
    expect(page).to_have_url(re.compile("/runs$"))
    expect(page.locator("#runs-table")).not_to_contain_text("emails-wide")


def test_what_is_being_written_on_a_live_run_is_not_lost(page: Page, sample: Sample) -> None:
    page.goto(f"/runs/{sample.runs['running']}")
    page.get_by_text("Edit name, notes and tags").click()
    page.locator("#notes").fill("half a sentence")
    with page.expect_response(f"**/runs/{sample.runs['running']}"):
        page.evaluate("htmx.trigger(document.body, 'run-changed')")
    expect(page.locator("#notes")).to_have_value("half a sentence")
    page.locator("#save-labels").click()
    expect(page.locator("#run-labels .notes")).to_have_text("half a sentence")
    expect(page.locator("#save-labels")).to_be_hidden()


def test_the_card_of_a_clone_says_what_was_changed_as_one_edits(page: Page, sample: Sample) -> None:
    page.goto(f"/runs/new?from={sample.runs['done']}")
    expect(page.locator("#run-changes")).to_contain_text("The same as emails-balanced so far")
    # The settings are open: the run that is cloned has some of its own.
    page.get_by_label("Learning rate").fill("0.001")
    expect(page.locator("#run-changes")).to_contain_text("Changed against emails-balanced: learning rate 0.002 → 0.001.")


def test_a_doorbell_that_rings_while_one_filters_asks_for_what_is_left(page: Page) -> None:
    silence(page)
    page.goto("/runs")
    held: list[Route] = []
    page.route("**/runs?status=failed", lambda route: held.append(route), times=1)  # noqa: PLW0108 - playwright marks its handlers, and a method of a list takes no mark
    with page.expect_request("**/runs?status=failed"):
        page.locator("#runs-chips").get_by_role("link", name="Failed 1").click()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    ring(page, "runs-table")
    with page.expect_request("**/runs?status=failed"):  # the doorbell's own
        held[0].continue_()
    assert [url for url in asked if url.endswith("/runs")] == []
    expect(page.locator("#runs-table tbody tr")).to_have_count(1)
