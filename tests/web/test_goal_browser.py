"""The goal in a real browser: the ladder follows each answer, and a saved goal is there again."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser


def test_the_ladder_follows_the_answers_and_the_goal_is_kept(page: Page) -> None:
    page.goto("/goal")
    page.locator("#what-format").check()
    page.locator("#task").fill("Answer mails and translate them into German")
    expect(page.get_by_text("Two tasks in one")).to_be_visible()
    page.locator("#examples").fill("50")
    page.get_by_label("A careful prompt").check()
    expect(page.get_by_role("heading", level=1)).to_have_text("Don’t fine-tune yet: put examples into the prompt")
    # The form was drawn anew around what was typed.
    expect(page.locator("#examples")).to_have_value("50")
    page.get_by_role("button", name="Save the goal").click()
    expect(page.get_by_text(re.compile(r"saved (just now|\d+ s ago)"))).to_be_visible()
    expect(page.locator("#what-format")).to_be_checked()


def test_a_recipe_leads_to_its_sample(page: Page) -> None:
    page.goto("/goal")
    page.locator(".recipes li", has_text="Complete code").get_by_role("button").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Complete code")
    expect(page.get_by_text("Being read")).to_be_visible()
    expect(page.locator("#what-code")).to_have_count(0)
    page.get_by_role("link", name="Goal", exact=True).first.click()
    expect(page.locator("#what-code")).to_be_checked()
