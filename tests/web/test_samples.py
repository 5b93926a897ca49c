"""Samples on the page of data: offered, added by a click, and led to when they are there."""

from __future__ import annotations

import re
from html import unescape

from fastapi import FastAPI
from fastapi.testclient import TestClient


def test_samples_are_offered_where_data_is_brought(empty: TestClient, app: FastAPI) -> None:
    page = unescape(empty.get("/datasets").text)
    for card in app.state.studio.shelf.listed():
        assert card.title in page
        assert f'action="/datasets/samples/{card.slug}"' in page
    assert re.search(r'<details class="panel gap" id="samples" open>', page)


def test_beside_data_of_ones_own_they_are_folded(browser: TestClient) -> None:
    assert re.search(r'<details class="panel gap" id="samples">', browser.get("/datasets").text)
    # The tour lights up a button in there.
    assert re.search(r'<details class="panel gap" id="samples" open>', browser.get("/datasets?tour=1").text)


def test_one_click_leads_to_the_new_dataset_and_another_to_the_same(empty: TestClient) -> None:
    first = empty.post("/datasets/samples/support-emails")
    assert first.status_code == 303
    assert re.fullmatch(r"/datasets/[0-9a-f-]{36}", first.headers["location"])
    assert empty.post("/datasets/samples/support-emails").headers["location"] == first.headers["location"]
    assert f'id="sample-support-emails" href="{first.headers["location"]}"' in empty.get("/datasets").text
    held_out = empty.post("/datasets/samples/support-emails", data={"part": "test"}).headers["location"]
    assert held_out != first.headers["location"]
    assert "Support e-mails (held out)" in empty.get(held_out).text


def test_what_there_is_not_is_said_in_words(empty: TestClient) -> None:
    assert empty.post("/datasets/samples/nothing").status_code == 404
    refused = empty.post("/datasets/samples/support-emails", data={"part": "all"})
    assert refused.status_code == 422
    assert "train and test" in refused.text


def test_a_stranger_is_sent_to_sign_in(stranger: TestClient) -> None:
    assert stranger.post("/datasets/samples/support-emails").headers["location"].startswith("/signin")
