"""The precision explorer and the calculator in a real browser: what is changed is worked out at once, and the address tells of it."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Page, expect

pytestmark = pytest.mark.browser


def test_a_chosen_model_is_shown_at_once_and_stands_in_the_address(page: Page) -> None:
    page.goto("/precision")
    expect(page.locator("#levels-title")).to_have_text("A model of 7 billion parameters, at each level")
    page.locator("#model").select_option("qwen3-8b")
    expect(page.locator("#levels-title")).to_have_text("Qwen3 8B, at each level")
    expect(page).to_have_url(re.compile("model=qwen3-8b"))
    page.locator("#weight").fill("-0.5")
    page.locator("#weight").press("Enter")
    expect(page.locator("#idea-title")).to_have_text("What becomes of -0.5")


def test_the_bill_follows_what_is_typed_and_unfolded_arithmetic_stays_open(page: Page) -> None:
    page.goto("/cloud-costs")
    expect(page.locator(".verdict")).to_contain_text("At this volume the API is cheaper.")
    page.locator("#how-1 summary").click()
    page.locator("#calls").fill("5000000")
    page.locator("#calls").press("Tab")
    expect(page.locator(".verdict")).to_contain_text("Your own model has paid for itself")
    expect(page.locator("#how-1 .how")).to_be_visible()
    expect(page.locator("#how-1 .how")).to_contain_text("5,000,000 calls")
    expect(page.locator("#growth_percent")).to_be_focused()


def test_fields_of_the_other_kind_of_machine_are_out_of_the_way(page: Page) -> None:
    page.goto("/cloud-costs")
    expect(page.locator("#hourly")).to_be_visible()
    expect(page.locator("#watts")).to_be_hidden()
    page.get_by_label("Machines of your own").check()
    expect(page.locator("#hourly")).to_be_hidden()
    expect(page.locator("#watts")).to_be_visible()
    expect(page.locator("#costs-now")).to_contain_text("0 W / 1000", use_inner_text=False)


def test_both_work_without_scripts(chromium: Browser, address: str) -> None:
    context = chromium.new_context(base_url=address, java_script_enabled=False)
    page = context.new_page()
    page.goto("/precision")
    page.locator("#params").fill("1B")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("#levels-title")).to_contain_text("1 billion parameters")
    page.goto("/cloud-costs")
    page.locator("#calls").fill("5000000")
    page.get_by_role("button", name="Work it out").click()
    expect(page.locator(".verdict")).to_contain_text("Your own model has paid for itself")
    context.close()
