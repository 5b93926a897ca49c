"""Choosing a base in a real browser: an answer leads to another model, a filter narrows the list, and neither loads the page anew."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser


def test_answers_and_filters_work_in_place(page: Page) -> None:
    page.goto("/models")
    page.evaluate("window.stays = true")
    page.get_by_label("think a problem through").check()
    expect(page.locator("#models-choice .pick h3")).to_have_text("Phi-4 mini Instruct")
    page.get_by_label("speak more than English").check()
    expect(page.locator("#models-choice .pick h3")).to_have_text("Qwen3 4B")
    page.get_by_label("Size").select_option("tiny")
    expect(page.locator("#models-table footer span").first).to_have_text("10 models")
    expect(page).to_have_url("/models?reasoning=1&multilingual=1&chosen=1&size=tiny")
    assert page.evaluate("window.stays")


def test_a_pick_leads_to_its_page_and_on_to_a_run(page: Page) -> None:
    page.goto("/models?tools=1")
    page.locator("#models-choice .pick h3 a").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Llama 3.2 3B Instruct")
    page.get_by_role("link", name="Train on it").click()
    expect(page.get_by_label("Base model")).to_have_value("meta-llama/Llama-3.2-3B-Instruct")
