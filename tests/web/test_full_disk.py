"""Pages tell in time that a disk fills up."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from app.services import disk

WARNING = "A disk is nearly full"


def test_every_page_warns_before_a_disk_is_full(browser: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert WARNING not in browser.get("/").text
    monkeypatch.setattr(disk, "LEAST_FREE_BYTES", 2**60)
    monkeypatch.setattr(disk, "LEAST_FREE_SHARE", 1.0)
    for page in ("/", "/runs", "/settings"):
        assert f"<b>{WARNING}.</b> It holds: store, runs, database." in browser.get(page).text
