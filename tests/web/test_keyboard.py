"""Everything by keyboard: each action is reached, in order, with a focus one sees; the palette, the box and the keys do what they say."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.web.walk import all_pages
from tools.sample_project import Sample

pytestmark = pytest.mark.browser
MOST_STEPS = 400
MARK = """() => {
  const all = document.querySelectorAll('a[href], button, input, select, textarea, summary, [tabindex="0"]');
  const radios = new Set();
  const reachable = [...all].filter((one) => {
    if (one.disabled || one.tabIndex < 0 || one.type === 'hidden' || !one.checkVisibility({ visibilityProperty: true })) return false;
    if (one.type !== 'radio') return true;
    const isFirst = !radios.has(one.name);
    radios.add(one.name);
    return isFirst;
  });
  // A property of the element, which stays when a live page is brought up to date.
  reachable.forEach((one, number) => { one.place = one.type === 'radio' ? `radio ${one.name}` : String(number); });
  return reachable.map((one) => [one.place, one.outerHTML.slice(0, 120)]);
}"""
FOCUSED = """() => {
  const one = document.activeElement;
  if (!one || one === document.body) return null;
  const seen = [one, one.closest('.card')].filter(Boolean).some((part) => {
    const style = getComputedStyle(part);
    return style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
  });
  return { place: one.type === 'radio' ? `radio ${one.name}` : one.place, seen, html: one.outerHTML.slice(0, 120) };
}"""


def tab_through(page: Page) -> list[dict[str, Any]]:
    """Press Tab until it comes round; return what was focused on the way."""
    on_the_way: list[dict[str, Any]] = []
    for _ in range(MOST_STEPS):
        page.keyboard.press("Tab")
        focused = page.evaluate(FOCUSED)
        if focused is None:
            continue  # between the end and the beginning the focus is the browser's own
        if any(focused["place"] == before["place"] for before in on_the_way):
            return on_the_way
        on_the_way.append(focused)
    raise AssertionError(f"Tab never came round on {page.url}")


def test_tab_reaches_everything_in_order_and_shows_where_it_is(page: Page, sample: Sample) -> None:
    for path in [*all_pages(sample), "/signin", "/nowhere"]:
        page.goto(path)
        expect(page.locator("a[hx-trigger=load]")).to_have_count(0)  # what a page asks for at once has come
        page.evaluate("document.activeElement.blur(); getSelection().removeAllRanges()")
        reachable = page.evaluate(MARK)
        on_the_way = tab_through(page)
        places = [focused["place"] for focused in on_the_way]
        missed = [html for place, html in reachable if place not in places]
        assert missed == [], path
        assert [focused["html"] for focused in on_the_way if not focused["seen"]] == [], path
        numbers = [int(place) for place in places if place and str(place).isdigit()]
        start = numbers.index(min(numbers))  # the browser begins at an autofocused field, and goes round from there
        assert numbers[start:] + numbers[:start] == sorted(numbers), path


def test_the_first_tab_offers_to_skip_to_the_content(page: Page) -> None:
    page.goto("/runs")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()


def test_the_palette_offers_what_this_page_can_do_and_does_it(page: Page, sample: Sample) -> None:
    page.goto(f"/runs/{sample.runs['running']}")
    page.keyboard.press("Control+k")
    expect(page.locator("#palette")).to_be_visible()
    page.keyboard.type("stop")
    expect(page.locator("#palette [aria-selected=true]")).to_have_text("Stop and keep")
    page.keyboard.press("Enter")
    expect(page.locator("#palette")).to_be_hidden()
    expect(page.locator("h1")).to_contain_text("Stopping")


def test_the_palette_offers_nothing_that_is_not_possible_here(page: Page, sample: Sample) -> None:
    page.goto(f"/runs/{sample.runs['done']}")
    page.keyboard.press("Control+k")
    page.keyboard.type("stop")
    expect(page.locator("#palette-list")).to_contain_text("Nothing here holds “stop”")
    expect(page.locator("#palette-list [role=option]")).to_have_count(0)


def test_escape_closes_the_palette_at_once_and_a_question_mark_leads_to_the_keys(page: Page) -> None:
    page.goto("/")
    page.keyboard.press("Control+k")
    page.keyboard.type("tra")
    page.keyboard.press("Escape")
    expect(page.locator("#palette")).to_be_hidden()
    page.keyboard.press("Control+k")
    page.keyboard.press("?")
    expect(page.locator("#palette")).to_be_hidden()
    expect(page.locator("#shortcuts")).to_be_visible()


def test_the_palette_is_a_combobox_with_a_listbox(page: Page) -> None:
    page.goto("/")
    page.keyboard.press("Control+k")
    with page.expect_response("**/search?q=emails"):
        page.keyboard.type("emails")
    box, chosen = page.locator("#palette-box"), page.locator("#palette-list [aria-selected=true]")
    expect(chosen).to_have_count(1)
    expect(page.locator("#palette-list")).to_have_attribute("aria-busy", "false")
    expect(box).to_have_attribute("role", "combobox")
    expect(box).to_have_attribute("aria-expanded", "true")
    expect(page.locator("#palette-list")).to_have_attribute("role", "listbox")
    first = box.get_attribute("aria-activedescendant")
    assert chosen.get_attribute("id") == first
    page.keyboard.press("ArrowDown")
    assert box.get_attribute("aria-activedescendant") == chosen.get_attribute("id") != first
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    expect(page.locator("#palette-list [role=option]").last).to_have_attribute("aria-selected", "true")


def test_the_palette_keeps_the_focus_until_it_is_closed(page: Page) -> None:
    page.goto("/runs")
    page.get_by_role("button", name="Commands").press("Enter")
    for _ in range(6):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement === document.body || Boolean(document.activeElement.closest('#palette'))")
    page.keyboard.press("Escape")
    expect(page.locator("#palette")).to_be_hidden()
    expect(page.get_by_role("button", name="Commands")).to_be_focused()


def test_the_box_at_the_top_finds_while_one_types(page: Page, sample: Sample) -> None:
    page.goto("/runs")
    page.keyboard.press("/")
    expect(page.locator("#find")).to_be_focused()
    page.keyboard.type("support-em")
    expect(page.locator("#find-list [aria-selected=true]")).to_contain_text("support-emails")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/datasets/{sample.datasets['ready']}")
    page.keyboard.press("/")
    page.keyboard.press("Escape")
    expect(page.locator("#find-list")).to_be_hidden()


def test_what_was_visited_is_offered_first_and_forgotten_nowhere_else(page: Page, sample: Sample) -> None:
    page.goto(f"/runs/{sample.runs['paused']}")
    page.goto("/workers")
    page.keyboard.press("Control+k")
    expect(page.locator("#palette-list section[aria-label='Visited last'] [role=option]")).to_have_text(["emails-slow"])
    expect(page.locator("#palette-list")).to_contain_text("Newest runs")
    expect(page.locator("#palette-list [role=option]", has_text="emails-slow")).to_have_count(1)


def test_what_was_deleted_is_offered_no_more(page: Page, sample: Sample) -> None:
    page.goto(f"/runs/{sample.runs['failed']}")
    page.goto(f"/runs/delete?ids={sample.runs['failed']}")
    page.locator("#delete-now").click()
    expect(page.get_by_role("heading", name="1 run deleted")).to_be_visible()
    page.keyboard.press("Control+k")
    expect(page.locator("#palette-list")).to_contain_text("Newest runs")
    expect(page.locator("#palette-list")).not_to_contain_text("emails-wide")


def test_keys_lead_to_places_but_not_while_one_types(page: Page) -> None:
    page.goto("/datasets")
    page.keyboard.press("g")
    page.keyboard.press("b")
    page.wait_for_url("**/board")
    page.goto("/runs/new")
    page.get_by_label("Name", exact=False).first.focus()
    page.keyboard.type("g b ? /")
    assert page.url.endswith("/runs/new")
    expect(page.locator("#shortcuts")).to_be_hidden()


def test_a_question_mark_shows_the_keys(page: Page) -> None:
    page.goto("/")
    page.keyboard.press("?")
    expect(page.locator("#shortcuts")).to_contain_text(re.compile("Board"))
    page.keyboard.press("Escape")
    expect(page.locator("#shortcuts")).to_be_hidden()


def test_the_search_page_finds_while_one_types_and_keeps_its_address(page: Page) -> None:
    page.goto("/search")
    page.locator("#q").fill("emails-long")
    expect(page.locator("#found")).not_to_contain_text("emails-slow")
    expect(page.locator("#found")).to_contain_text("emails-long")
    page.wait_for_url("**/search?q=emails-long")


def test_a_studio_that_does_not_answer_is_told_in_words(page: Page) -> None:
    page.goto("/")
    page.route("**/search?*", lambda route: route.abort())
    page.keyboard.press("Control+k")
    expect(page.locator("#palette-list")).to_contain_text("The studio does not answer")
