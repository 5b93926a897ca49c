"""Measurements in a real Chromium: the page follows one that is under way, and one that is done is sound at every width."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import update

from app.db import Baseline
from app.db.session import unit_of_work
from app.services.studio import Studio
from tests.web.test_accessible import faults, opened
from tests.web.test_baselines import entered, project_id

__all__ = ["project_id"]
pytestmark = pytest.mark.browser


def test_the_page_follows_a_measurement_by_itself(page: Page, studio: Studio, project_id: str) -> None:
    running = entered(studio, project_id, status="running", results={}, answers={}, done=2, lease_owner="w", lease_token=1)
    page.goto(f"/baselines/{running}")
    expect(page.get_by_text("Asking: 2 of 48 answers.")).to_be_visible()
    with unit_of_work(studio.engine) as session:
        session.execute(update(Baseline).where(Baseline.id == running).values(done=40))
    expect(page.get_by_text("Asking: 40 of 48 answers.")).to_be_visible()
    assert page.locator("progress").get_attribute("value") == "40"


def test_rows_are_narrowed_in_place(page: Page, studio: Studio, project_id: str) -> None:
    page.goto(f"/baselines/{entered(studio, project_id)}")
    page.get_by_role("link", name="Where the best is not right").click()
    expect(page.locator("article.asked")).to_have_count(1)
    expect(page).to_have_url(re.compile(r"\?only=wrong$"))


@pytest.mark.parametrize("width", [390, 1440])
def test_a_measurement_that_is_done_has_no_serious_fault_and_fits(
    chromium: Browser, address: str, studio: Studio, project_id: str, root: Path, width: int
) -> None:
    done = entered(studio, project_id)
    with opened(chromium, address, width) as page:
        page.goto(f"/baselines/{done}")
        assert faults(page, root) + faults(page, root, "dark") == []
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        page.goto("/baselines")
        page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
        assert faults(page, root) + faults(page, root, "dark") == []
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
