from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from app.web.places import PLACES
from tests.web.walk import part
from tools.sample_project import Sample


def test_a_name_finds_its_page_with_its_state(browser: TestClient, sample: Sample) -> None:
    page = browser.get("/search", params={"q": "emails-long"}).text
    assert page.startswith("<!doctype html>")
    assert f'href="/runs/{sample.runs["running"]}"' in page
    assert "Running" in page
    assert 'value="emails-long"' in page


def test_the_box_gets_the_hits_alone(browser: TestClient, sample: Sample) -> None:
    found = browser.get("/search", params={"q": "emails"}, headers=part("found")).text
    assert found.lstrip().startswith('<div id="found"')
    assert f'href="/datasets/{sample.datasets["ready"]}"' in found
    assert "Chat with ft:hone-starter" in found


def test_without_words_the_newest_things_and_every_place_are_shown(browser: TestClient) -> None:
    found = browser.get("/search", headers=part("found")).text
    assert "Newest runs" in found
    assert all(f">{place.label}<" in found for place in PLACES)


def test_an_action_is_found_by_what_one_would_call_it(browser: TestClient) -> None:
    for words, label in (("train", "New run"), ("import", "Upload a dataset"), ("token", "API keys"), ("swagger", "API")):
        assert f">{label}<" in browser.get("/search", params={"q": words}, headers=part("found")).text


def test_nothing_found_says_so_and_what_to_do(browser: TestClient) -> None:
    found = browser.get("/search", params={"q": "zzz <b>"}).text
    assert "Nothing here holds “zzz &lt;b&gt;”" in found


@pytest.mark.parametrize("asked", ["\0", "%00", "x" * 9000, "' OR 1=1", "\\", "ı", "\ud83d"])
def test_odd_words_find_nothing_and_break_nothing(browser: TestClient, asked: str) -> None:
    assert browser.get("/search", params={"q": asked.encode("utf-8", "replace").decode()}).status_code == 200


def test_every_place_has_a_page_and_its_part_of_it(browser: TestClient) -> None:
    for place in PLACES:
        path, _, part_of_it = place.href.partition("#")
        page = browser.get(path)
        assert page.status_code == 200, place
        assert not part_of_it or f'id="{part_of_it}"' in page.text, place


def test_no_key_leads_to_two_places_and_none_hides_another() -> None:
    keys = [place.keys for place in PLACES if place.keys]
    assert len(keys) == len(set(keys))
    assert not [(one, two) for one in keys for two in keys if one != two and two.startswith(f"{one} ")]


def test_a_stranger_finds_nothing(stranger: TestClient) -> None:
    assert stranger.get("/search?q=emails").headers["location"].startswith("/signin")
