"""What scripts do on open pages, in a real Chromium."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from fastapi import FastAPI
from playwright.sync_api import Page, Route, expect

from tools.sample_project import Sample

pytestmark = pytest.mark.browser


def test_what_is_unfolded_stays_so_when_a_doorbell_rings(page: Page, sample: Sample) -> None:
    page.goto(f"/runs/{sample.runs['running']}")
    page.get_by_text("What the trainer chose and found").click()
    for block in ("run-log", "run-events"):
        page.evaluate("id => { document.getElementById(id).kept = true; }", block)
    with page.expect_response(f"**/runs/{sample.runs['running']}"):
        page.evaluate("htmx.trigger(document.body, 'run-changed')")
    expect(page.locator("#run-facts dl")).to_be_visible()
    expect(page.locator("#run-facts details[open]")).to_be_attached()
    assert page.evaluate("['run-log', 'run-events'].every((id) => document.getElementById(id).kept)")


def test_a_stream_refused_to_a_stranger_reloads_the_page(page: Page) -> None:
    drawn: list[str] = []
    page.on("request", lambda request: drawn.append(request.url) if request.is_navigation_request() else None)
    page.route("**/live?*", lambda route: route.fulfill(status=401), times=1)
    with page.expect_request(lambda request: "/live?" in request.url and len(drawn) > 1):
        page.goto("/runs")
    assert len(drawn) == 2


def test_a_slow_extension_still_gets_its_stream(page: Page) -> None:
    def late(route: Route) -> None:
        page.wait_for_timeout(300)
        route.continue_()

    page.route("**/hx-sse.min.js*", late)
    with page.expect_request("**/live?*"):
        page.goto("/runs")


def test_nobody_is_asked_while_nobody_answers(page: Page) -> None:
    page.goto("/chat")
    ask = page.get_by_role("button", name="Ask both")
    expect(ask).to_be_disabled()
    expect(ask).to_have_attribute("title", re.compile("no inference server"))


def test_a_new_conversation_ends_the_one_before(app: FastAPI, page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    async def is_there() -> dict[str, str]:
        return {"device": "cpu"}

    monkeypatch.setattr(app.state.inference, "status", is_there)
    questions: list[list[str]] = []

    def never_answer(route: Route) -> None:
        questions.append([turn["content"] for turn in json.loads(route.request.post_data or "")["messages"] if turn["role"] != "system"])

    page.route("**/chat/answers", never_answer)
    page.goto("/chat")
    for question in ("first", "second"):
        page.locator("#prompt").fill(question)
        with page.expect_request("**/chat/answers"):
            page.get_by_role("button", name="Ask both").click()
        page.get_by_role("button", name="New conversation" if question == "first" else "Stop").click()
        expect(page.get_by_role("button", name="Ask both")).to_be_visible()
    assert questions == [["first"], ["second"]]
    assert "first" not in page.locator("#columns").inner_text()
    expect(page.locator("#columns")).to_contain_text("Stopped.")


def test_whoever_pressed_what_is_gone_goes_on_from_the_heading(page: Page, sample: Sample) -> None:
    page.goto(f"/runs/{sample.runs['running']}")
    page.locator("#do-pause").press("Enter")
    expect(page.locator("h1")).to_be_focused()
    with page.expect_response(f"**/runs/{sample.runs['running']}"):
        page.evaluate("htmx.trigger(document.body, 'run-changed')")
    expect(page.locator("h1")).to_have_text(re.compile("Pausing"))
    expect(page.locator("h1")).to_be_focused()


def test_a_file_chosen_before_the_scripts_are_there_is_sent_by_the_button(page: Page, tmp_path: Path) -> None:
    file = tmp_path / "early.jsonl"
    file.write_text('{"prompt": "a", "completion": "b"}\n')

    def late(route: Route) -> None:
        page.locator("#file").set_input_files(file)
        route.continue_()

    page.route("**/upload.js*", late)
    page.goto("/datasets")
    page.locator("[data-upload-send]").click()
    expect(page.locator("h1")).to_have_text("early")
