"""The tour, taken in a real browser: by its own pointers, by keyboard, on a phone, and without scripts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from playwright.sync_api import ViewportSize, expect

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

READING_MS, TRAINING_MS, ANSWER_MS = 90_000, 240_000, 120_000
PHONE = ViewportSize(width=390, height=844)
DESK = ViewportSize(width=1280, height=900)
LIT = "element => getComputedStyle(element).outlineStyle === 'dashed'"


class Tour:
    """One person on tour."""

    def __init__(self, page: Page, address: str) -> None:
        self.page, self.address = page, address

    @property
    def panel(self) -> Locator:
        """The tour's panel."""
        return self.page.get_by_role("region", name="Tour")

    def at(self, step: int, words: str) -> None:
        """See that the tour is at a step, and says something."""
        expect(self.panel).to_contain_text(f"Tour {step} of 5")
        expect(self.panel.get_by_role("status")).to_contain_text(re.compile(words), timeout=READING_MS)

    def lights(self, target: str) -> None:
        """See that what the panel points at is lit up."""
        self.page.wait_for_function(f"selector => ({LIT})(document.querySelector(selector))", arg=target)

    def sample(self) -> None:
        """From the first page to the sample's rows."""
        page = self.page
        page.goto(self.address)
        page.get_by_role("link", name="Take the tour").click()
        self.at(1, "Add the sample")
        self.lights("#sample-support-emails")
        self.panel.get_by_role("link", name="Show me the button").press("Enter")
        expect(page.locator("#sample-support-emails")).to_be_focused()
        page.keyboard.press("Enter")
        page.wait_for_url(re.compile(r"/datasets/[0-9a-f-]{36}$"))
        self.at(1, "Look at a row")  # by itself, once a worker has read the file
        self.lights("#train")

    def run(self) -> None:
        """Choose Quick, start a short run, and watch it."""
        page = self.page
        page.locator("#train").click()
        self.at(2, "Choose it")
        self.lights(".card:has(#preset-quick)")
        page.get_by_text("All settings").click()
        page.get_by_label("Max steps").fill("6")
        page.get_by_label("Eval every steps").fill("6")
        page.locator("#preset-quick").check(force=True)
        self.at(2, "Quick is chosen")
        self.lights("#start")
        page.get_by_role("button", name="Start training").click()
        page.wait_for_url(re.compile(r"/runs/[0-9a-f-]{36}$"))
        self.at(3, "waits for a worker|loads the base|the loss|packed|to the letter")
        expect(self.panel).to_contain_text("right to the letter", timeout=TRAINING_MS)
        self.lights("#chat-with-it")

    def chat(self) -> None:
        """Ask both, and go on to one's own data."""
        page = self.page
        page.locator("#chat-with-it").click()
        self.at(4, "ask both")
        self.lights("#examples")
        page.locator("#examples button").first.click()
        page.get_by_role("button", name="Ask both").click()
        for figures in page.locator("[data-figures]").all():
            expect(figures).to_contain_text(re.compile(r"\d+ tokens?"), timeout=ANSWER_MS)
        self.panel.get_by_role("link", name="Next: your own data").click()
        self.at(5, "Now your own")
        self.lights("#upload")

    def back_and_forth(self) -> None:
        """Every step back is there, and fits a phone."""
        self.page.set_viewport_size(PHONE)
        for step in (4, 3, 2, 1):
            self.panel.get_by_role("link", name="Back", exact=True).click()
            expect(self.panel).to_contain_text(f"Tour {step} of 5")
            assert self.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), step
            for button in self.panel.locator(".btn").all():
                box = button.bounding_box()
                assert box
                assert box["x"] + box["width"] <= PHONE["width"]
        self.page.set_viewport_size(DESK)

    def leave(self) -> None:
        """Leave it, and see that nobody asks again."""
        page = self.page
        page.get_by_role("button", name="Leave the tour").click()
        expect(self.panel).to_have_count(0)
        page.goto(self.address)
        expect(page.get_by_text("New here?")).to_have_count(0)


def without_scripts(browser: Browser, address: str) -> None:
    """Where scripts are off, the pointers are links and the sample is a form."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{address}/settings")
    page.get_by_role("link", name=re.compile("Take the tour")).click()
    expect(page.get_by_role("region", name="Tour")).to_contain_text("is here already")
    page.get_by_role("link", name="Open Support e-mails").first.click()
    expect(page.get_by_role("region", name="Tour")).to_contain_text("Look at a row")
    page.get_by_role("button", name="Leave the tour").click()
    expect(page.get_by_role("region", name="Tour")).to_have_count(0)
    expect(page).to_have_url(re.compile(r"/datasets/[0-9a-f-]{36}$"))
    context.close()
