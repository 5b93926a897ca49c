"""A whole visit under a sub-path, in a real Chromium: sign in, upload, and a page that follows; every request stays inside."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from fastapi import FastAPI
from playwright.sync_api import Page, expect

from app.db import Dataset
from app.db.session import unit_of_work
from app.domain.datasets import DatasetStatus
from app.services.accounts import Accounts
from app.services.studio import Studio

pytestmark = pytest.mark.browser
ROOT = "/hone"


@pytest.fixture
def app(make_app: Callable[..., FastAPI]) -> FastAPI:
    """A studio under a sub-path, where everybody signs in."""
    return make_app(root_path=ROOT, trusted_proxies="192.0.2.1")


@pytest.fixture
def key(studio: Studio) -> str:
    """A key to sign in with."""
    with unit_of_work(studio.engine) as session:
        accounts = Accounts(session)
        return accounts.create_key(accounts.ensure_owner(), "browser")[1]


def test_a_visit_under_a_sub_path_never_leaves_it(page: Page, studio: Studio, key: str, tmp_path: Path) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(urlsplit(request.url).path))
    page.goto(f"{ROOT}/datasets")
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("[data-upload-send][hidden]")).to_be_attached()  # from now on a chosen file is sent at once
    file = tmp_path / "mails.jsonl"
    file.write_text('{"prompt": "a", "completion": "b"}\n')
    page.locator("#file").set_input_files(file)
    page.wait_for_url(f"**{ROOT}/datasets/*")
    expect(page.locator("h1")).to_have_text("mails")
    dataset_id = page.url.rpartition("/")[2]
    with unit_of_work(studio.engine) as session:
        dataset = session.get_one(Dataset, dataset_id)
        dataset.status, dataset.reason = DatasetStatus.FAILED, "No row could be used."
    expect(page.locator("#dataset-now")).to_contain_text("No row could be used.")
    page.get_by_role("link", name="Board").click()
    page.wait_for_url(f"**{ROOT}/board")
    page.goto(f"{ROOT}/docs")
    expect(page.locator("#swagger .servers select")).to_contain_text(ROOT)
    assert [path for path in asked if not path.startswith(f"{ROOT}/")] == []
    assert f"{ROOT}/live" in asked
