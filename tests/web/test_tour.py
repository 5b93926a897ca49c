"""The tour: which step a page is, what is said there in each state, and how one leaves."""

from __future__ import annotations

import re
from html import unescape

import pytest
from fastapi.testclient import TestClient

from app.web.tour import COOKIE
from tests.web.walk import part
from tools.sample_project import Sample


def panel(browser: TestClient, address: str) -> str:
    """Give the tour's panel on a page, or nothing."""
    found = re.search(r'<section class="tour" id="tour".*?</section>', browser.get(address).text, re.DOTALL)
    return found[0] if found else ""


def cookie(browser: TestClient) -> str | None:
    return browser.cookies.get(COOKIE)


def test_nobody_is_on_tour_unasked(browser: TestClient, sample: Sample) -> None:
    for address in ("/", "/datasets", "/runs/new", "/chat", f"/runs/{sample.runs['done']}"):
        assert panel(browser, address) == ""
    assert cookie(browser) is None


def test_the_first_page_offers_it_once(empty: TestClient) -> None:
    assert "Take the tour" in empty.get("/").text
    left = empty.post("/tour/leave", data={"page": "/"})
    assert (left.status_code, left.headers["location"], cookie(empty)) == (303, "/", "left")
    assert "New here?" not in empty.get("/").text
    assert "/datasets?tour=1" in empty.get("/settings").text


def test_the_studios_own_ways_lead_through_all_steps(browser: TestClient, sample: Sample) -> None:
    ready, done = sample.datasets["ready"], sample.runs["done"]
    ways = ["/datasets?tour=1", f"/datasets/{ready}", f"/runs/new?dataset_id={ready}", f"/runs/{done}", "/chat", "/datasets"]
    seen = [re.findall(r"Tour (\d) of 5", panel(browser, way)) for way in ways]
    assert seen == [["1"], ["1"], ["2"], ["3"], ["4"], ["5"]]
    # After the last step one is on one's own.
    assert panel(browser, "/runs/new") == ""
    assert cookie(browser) == "left"


def test_a_step_back_is_a_link(browser: TestClient, sample: Sample) -> None:
    browser.get("/datasets?tour=5")
    assert 'href="/chat?tour=4"' in panel(browser, "/datasets")
    assert f'href="/runs/{sample.runs["done"]}?tour=3"' in panel(browser, "/chat?tour=4")
    assert 'href="/runs/new?tour=2"' in panel(browser, f"/runs/{sample.runs['done']}?tour=3")


def test_a_look_at_another_page_does_not_end_the_tour(browser: TestClient, sample: Sample) -> None:
    running = f"/runs/{sample.runs['running']}"
    browser.get(f"{running}?tour=3")
    assert panel(browser, "/board") == ""
    assert cookie(browser) == "3"
    assert "Tour 3 of 5" in panel(browser, running)
    assert "New here?" not in browser.get("/").text


def test_whoever_goes_elsewhere_after_the_last_step_has_left_and_is_not_asked_again(browser: TestClient) -> None:
    browser.get("/datasets?tour=5")
    browser.get("/board", headers=part("board_workers"))  # a fragment is no page that somebody opened
    browser.get("/search", headers={"Sec-Fetch-Dest": "empty"})
    assert cookie(browser) == "5"
    browser.get("/board")
    assert cookie(browser) == "left"
    assert panel(browser, "/datasets") == ""
    assert "New here?" not in browser.get("/").text


def test_leaving_leads_to_the_same_page_without_it(browser: TestClient) -> None:
    browser.get("/runs/new?tour=2")
    assert '<input type="hidden" name="page" value="/runs/new">' in panel(browser, "/runs/new")
    assert browser.post("/tour/leave", data={"page": "/runs/new"}).headers["location"] == "/runs/new"
    assert browser.post("/tour/leave", data={"page": "//elsewhere.example"}).headers["location"] == "/"
    assert panel(browser, "/runs/new") == ""


def test_the_first_step_points_at_the_sample_and_says_when_it_is_there(empty: TestClient) -> None:
    first = panel(empty, "/datasets?tour=1")
    assert 'data-lights="sample"' in first
    assert 'href="#sample-support-emails"' in first
    there = empty.post("/datasets/samples/support-emails").headers["location"]
    assert "reading the file" in panel(empty, there)
    assert "is here already" in panel(empty, "/datasets?tour=1")
    assert f'href="{there}"' in panel(empty, "/datasets?tour=1")


@pytest.mark.parametrize(
    ("state", "words"), [("ready", "it is to learn"), ("unmapped", "column"), ("failed", "could not be used"), ("importing", "reading")]
)
def test_the_data_step_goes_by_the_state_of_the_data(browser: TestClient, sample: Sample, state: str, words: str) -> None:
    assert words in panel(browser, f"/datasets/{sample.datasets[state]}?tour=1")


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("queued", "waits"),
        ("running", "the loss"),
        ("paused", "Resume"),
        ("failed", "Start it again"),
        ("cancelled", "no model"),
        ("done", "Chat with it"),
    ],
)
def test_the_run_step_goes_by_the_state_of_the_run(browser: TestClient, sample: Sample, state: str, words: str) -> None:
    assert words in panel(browser, f"/runs/{sample.runs[state]}?tour=3")


def test_the_new_run_step_asks_for_quick_and_then_for_the_start(browser: TestClient, sample: Sample) -> None:
    assert 'data-lights="quick"' in panel(browser, "/runs/new?tour=2")
    changed = browser.get(f"/runs/new?dataset_id={sample.datasets['ready']}&preset=quick", headers=part("run_form")).text
    assert 'data-lights="start" hx-swap-oob="outerMorph"' in changed


def test_a_new_run_without_data_leads_back_to_it(empty: TestClient) -> None:
    assert 'href="/datasets?tour=1"' in panel(empty, "/runs/new?tour=2")


def test_a_chat_without_a_tuned_model_leads_back_to_the_run(empty: TestClient) -> None:
    assert 'href="/runs/new?tour=2"' in panel(empty, "/chat?tour=4")


def test_the_chat_step_still_knows_the_tuned_model_when_an_answer_has_come(browser: TestClient) -> None:
    refetch = re.search(r'href="([^"]+)"[^>]*id="refetch|id="refetch[^>]*href="([^"]+)"', browser.get("/chat?tour=4").text)
    assert refetch is not None
    answered = browser.get(unescape(refetch[1] or refetch[2]), headers=part("chat_state")).text
    assert "Tour 4 of 5" in answered
    assert "There is no tuned model here yet" not in answered


def test_what_a_doorbell_fetches_brings_the_panel_along(browser: TestClient, sample: Sample) -> None:
    running = f"/runs/{sample.runs['running']}"
    browser.get(f"{running}?tour=3")
    assert 'id="tour"' in browser.get(running, headers=part("run_now")).text
    browser.post("/tour/leave")
    assert 'id="tour"' not in browser.get(running, headers=part("run_now")).text


@pytest.mark.parametrize("nonsense", ["0", "6", "x", "", "²", "1" * 400])
def test_a_step_that_there_is_not_is_no_step(browser: TestClient, nonsense: str) -> None:
    assert panel(browser, f"/datasets?tour={nonsense}") == ""
    browser.cookies.set(COOKIE, nonsense.encode("ascii", "ignore").decode())
    assert panel(browser, "/datasets") == ""


def test_every_place_the_tour_points_at_is_on_its_page(browser: TestClient, empty: TestClient, sample: Sample) -> None:
    pages = ["/datasets?tour=1", "/datasets?tour=5", "/runs/new?tour=2", "/runs/new?tour=2&preset=quick"]
    pages += [f"/datasets/{found}?tour=1" for found in sample.datasets.values()] + [
        f"/runs/{found}?tour=3" for found in sample.runs.values()
    ]
    for browsing in (browser, empty):
        for address in pages:
            answer = browsing.get(address)
            for place in re.findall(r'href="#([\w-]+)"', panel(browsing, address)):
                assert f'id="{place}"' in answer.text, (address, place)
