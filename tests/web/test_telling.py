"""A tab that says how far a run is, and the browser's own notice when it has ended: only for those who asked."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from app.db import Run
from app.db.base import utc_now
from app.db.session import unit_of_work
from app.domain.runs import RunStatus
from app.services.studio import Studio
from tools.sample_project import Sample

pytestmark = pytest.mark.browser

RECORD = """(() => {
  window.told = [];
  class Notice extends EventTarget {
    static permission = "%s";
    static async requestPermission() { window.asked = true; Notice.permission = "%s"; return Notice.permission; }
    constructor(title) { super(); window.told.push(title); document.documentElement.dataset.notice = title; }
  }
  window.Notification = Notice;
})()"""


def notices(page: Page, *, before: str = "default", after: str = "granted") -> None:
    """Have the page record what the browser would show."""
    page.add_init_script(RECORD % (before, after))


def end(studio: Studio, run_id: str, *states: RunStatus) -> None:
    with unit_of_work(studio.engine) as session:
        run = session.get_one(Run, run_id)
        for status in states:
            run.move_to(status)
        run.finished_at = utc_now()


def test_the_tab_says_how_far_it_is_and_then_how_it_ended(page: Page, studio: Studio, sample: Sample) -> None:
    page.goto(f"/runs/{sample.runs['running']}")
    expect(page).to_have_title("61 % · emails-long · Hone")
    with unit_of_work(studio.engine) as session:
        session.get_one(Run, sample.runs["running"]).step = 300
    expect(page).to_have_title("82 % · emails-long · Hone")
    end(studio, sample.runs["running"], RunStatus.FINALIZING, RunStatus.SUCCEEDED)
    expect(page).to_have_title("Done: emails-long · Hone")


@pytest.mark.parametrize("place", ["run", "board"])
def test_whoever_asked_is_told_once(page: Page, studio: Studio, sample: Sample, place: str) -> None:
    notices(page)
    run_id = sample.runs["running"]
    page.goto(f"/runs/{run_id}" if place == "run" else "/board")
    assert page.evaluate("window.asked") is None
    page.locator(f'[data-tell="{run_id}"]').click()
    expect(page.locator(f'[data-tell="{run_id}"]')).to_have_attribute("aria-pressed", "true")
    assert page.evaluate("window.asked")
    end(studio, run_id, RunStatus.FAILED)
    expect(page.locator("html")).to_have_attribute("data-notice", "Failed: emails-long")
    page.evaluate("document.dispatchEvent(new CustomEvent('htmx:after:swap', { detail: {} }))")
    assert page.evaluate("window.told") == ["Failed: emails-long"]
    assert page.evaluate("localStorage.getItem('hone-tell')") == "{}"


def test_who_did_not_ask_is_not_told(page: Page, studio: Studio, sample: Sample) -> None:
    notices(page, before="granted")
    page.goto(f"/runs/{sample.runs['running']}")
    end(studio, sample.runs["running"], RunStatus.FAILED)
    expect(page).to_have_title("Failed: emails-long · Hone")
    assert page.evaluate("window.told") == []


def test_a_wish_outlives_the_page_and_can_be_taken_back(page: Page, sample: Sample) -> None:
    notices(page, before="granted")
    page.goto(f"/runs/{sample.runs['running']}")
    button = page.locator("[data-tell]")
    button.click()
    page.goto("/board")
    expect(page.locator(f'[data-tell="{sample.runs["running"]}"]')).to_have_attribute("aria-pressed", "true")
    page.locator(f'[data-tell="{sample.runs["running"]}"]').click()
    expect(page.locator(f'[data-tell="{sample.runs["running"]}"]')).to_have_attribute("aria-pressed", "false")


def test_a_browser_that_gives_none_says_so_in_words(page: Page, studio: Studio, sample: Sample) -> None:
    notices(page, after="denied")
    page.goto(f"/runs/{sample.runs['running']}")
    page.locator("[data-tell]").click()
    expect(page.locator("[data-tell]")).to_contain_text("Notices are blocked for this site")
    page.goto("/board")
    bell = page.locator(f'[data-tell="{sample.runs["running"]}"]')
    bell.click()
    expect(bell.get_by_text("Notices are blocked for this site")).not_to_have_class("visually-hidden")
    page.evaluate("document.addEventListener('htmx:after:swap', () => { document.documentElement.dataset.swapped = 'yes' })")
    with unit_of_work(studio.engine) as session:
        session.get_one(Run, sample.runs["running"]).step = 300
    expect(page.locator("html")).to_have_attribute("data-swapped", "yes")
    expect(bell.get_by_text("Notices are blocked for this site")).not_to_have_class("visually-hidden")
    page.evaluate("window.Notification.permission = 'granted'")
    bell.click()
    expect(bell).to_have_attribute("aria-pressed", "true")
    expect(bell).to_contain_text("I will be told")
    bell.click()
    expect(bell).to_have_attribute("aria-pressed", "false")
    page.goto(f"/runs/{sample.runs['running']}")
    page.add_init_script("delete window.Notification")
    page.reload()
    page.locator("[data-tell]").click()
    expect(page.locator("[data-tell]")).to_contain_text("This browser gives no notices")


@pytest.mark.parametrize("path", ["/runs/compare?ids={done},{running}", "/runs/{running}"])
def test_curves_are_drawn_read_and_shown_on_another_scale(page: Page, sample: Sample, path: str) -> None:
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.goto(path.format(**sample.runs))
    drawing = page.locator(".chart canvas")
    expect(drawing).to_be_visible()
    box = drawing.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(page.locator(".chart .chart-cursor")).to_contain_text("step ")
    page.get_by_role("button", name="Log scale").click()
    expect(page.locator("#log-scale")).to_have_attribute("aria-pressed", "true")
    expect(drawing).to_have_count(1)
    assert complaints == []


def test_two_ticks_in_the_list_lead_to_a_comparison(page: Page, sample: Sample) -> None:
    page.goto("/runs")
    for name in ("done", "paused"):
        page.locator(f"#pick-{sample.runs[name]}").check()
    page.locator("#compare-chosen").click()
    expect(page.locator("h1")).to_contain_text("emails-balanced")
    expect(page.locator("h1")).to_contain_text("emails-slow")
