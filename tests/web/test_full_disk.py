"""Pages tell in time that a disk fills up."""

from __future__ import annotations

import os
import threading
import time

import pytest
from fastapi.testclient import TestClient

from app.services import disk
from app.services.studio import Studio
from app.web import home_view

WARNING = "A disk is nearly full"


@pytest.fixture(autouse=True)
def room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no disk of this machine be nearly full, whatever lies on it, unless a test says so."""
    monkeypatch.setattr(disk, "LEAST_FREE_BYTES", 0)


def test_every_page_warns_before_a_disk_is_full(browser: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert WARNING not in browser.get("/").text
    monkeypatch.setattr(disk, "LEAST_FREE_BYTES", 2**60)
    monkeypatch.setattr(disk, "LEAST_FREE_SHARE", 1.0)
    for page in ("/", "/runs", "/settings"):
        assert f"<b>{WARNING}.</b> It holds: store, runs, database." in browser.get(page).text


@pytest.mark.parametrize("hangs", [True, False])
def test_a_place_that_hangs_or_is_gone_takes_no_page_with_it(
    browser: TestClient, studio: Studio, monkeypatch: pytest.MonkeyPatch, *, hangs: bool
) -> None:
    store, look, ended = studio.incoming, os.statvfs, threading.Event()
    if hangs:
        monkeypatch.setattr(os, "statvfs", lambda place: ended.wait(60) if place == store else look(place))
    else:
        store.rename(store.with_name("gone"))
    try:
        began = time.monotonic()
        for page in ("/", "/runs", "/settings"):
            answer = browser.get(page)
            assert answer.status_code == 200
            assert WARNING not in answer.text
        assert time.monotonic() - began < 30
        assert " free</dd>" not in answer.text
    finally:
        ended.set()


def test_the_first_page_tells_of_little_room_before_all_pages_do(browser: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(home_view, "DISK_LOW_BYTES", 2**60)
    early = "are left on the disk of the store"
    assert early in browser.get("/").text
    monkeypatch.setattr(disk, "LEAST_FREE_BYTES", 2**60)
    monkeypatch.setattr(disk, "LEAST_FREE_SHARE", 1.0)
    full = browser.get("/").text
    assert WARNING in full
    assert early not in full
