"""The goal's page and its recipes: advice that follows what is typed, kept when it is saved; with htmx and without."""

from __future__ import annotations

import re
from html import unescape

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.db import Dataset, DatasetVersion
from app.db.session import unit_of_work
from app.domain.datasets import DatasetStatus
from tests.web.walk import part
from tools.sample_project import Sample

FEW = {"what": "format", "task": "Support e-mail into JSON with intent and urgency", "examples": "50", "tried_prompt": "on"}


def words_of(page: str) -> str:
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page)))


def test_the_page_shows_four_rungs_with_their_reasons(empty: TestClient) -> None:
    page = empty.get("/goal").text
    ladder = page[page.index('id="ladder"') :].partition("</ol>")[0]
    assert ladder.count("<li") == 4
    assert "Do this first" in ladder
    assert "Train one from scratch" in ladder
    assert "Start from a recipe" in page


@pytest.mark.parametrize("headers", [{}, part("goal_form")], ids=["without htmx", "with htmx"])
def test_what_is_typed_is_advised_on_at_once_and_kept_nowhere(empty: TestClient, headers: dict[str, str]) -> None:
    page = empty.get("/goal", params=FEW, headers=headers).text
    assert ("<!doctype html>" in page) is not bool(headers)
    assert "Don’t fine-tune yet: put examples into the prompt" in words_of(page)
    assert re.search(r'name="examples"[^>]*value="50"', page)
    assert re.search(r'name="tried_prompt" checked', page)
    assert 'value="50"' not in empty.get("/goal").text


def test_the_heading_follows_out_of_band(empty: TestClient) -> None:
    page = empty.get("/goal", params=FEW, headers=part("goal_form")).text
    assert re.search(r'id="goal-head" hx-swap-oob="outerMorph"', page)


def test_a_goal_is_saved_and_there_again(empty: TestClient) -> None:
    saved = empty.post("/goal", data=FEW)
    assert (saved.status_code, saved.headers["location"]) == (303, "/goal")
    page = empty.get("/goal").text
    assert re.search(r'id="what-format"[^>]*checked', page)
    assert "Narrow enough" in page
    assert "saved <time" in page
    with_htmx = empty.post("/goal", data=FEW | {"news": "on"}, headers=part("goal_form"))
    assert (with_htmx.status_code, with_htmx.headers["hx-redirect"]) == (204, "/goal")
    assert "Don’t fine-tune for this: look it up" in empty.get("/goal").text


@pytest.mark.parametrize("headers", [{}, part("goal_form")], ids=["without htmx", "with htmx"])
def test_what_makes_no_sense_is_told_beside_its_field_and_not_kept(empty: TestClient, headers: dict[str, str]) -> None:
    refused = empty.post("/goal", data=FEW | {"right_percent": "120"}, headers=headers)
    assert refused.status_code == 422
    assert 'id="right_percent-error"' in refused.text
    assert "Give 100 or less." in refused.text
    assert "saved <time" not in empty.get("/goal").text
    assert 'id="examples-error"' in empty.get("/goal", params={"examples": "many"}, headers=headers).text


def test_a_task_that_is_too_wide_is_told_so(empty: TestClient) -> None:
    page = words_of(empty.get("/goal", params={"what": "format", "task": "Answer mails and translate them into German"}).text)
    assert "Two tasks in one" in page
    assert "“and translate” is a second task" in page
    assert "A support bot" in page


def test_rows_that_are_here_count_and_lead_to_a_run(browser: TestClient, studio_rows: int) -> None:
    page = browser.get("/goal", params={"what": "format", "tried_prompt": "on"}).text
    assert f"{studio_rows} examples of about 500" in words_of(page)
    assert re.search(r'class="btn " href="/runs/new\?dataset_id=', page)
    browser.post("/goal", data={"what": "format", "tried_prompt": "on"})
    assert re.search(r'class="btn go" href="/runs/new\?dataset_id=', browser.get("/goal").text)


@pytest.fixture
def studio_rows(app: FastAPI, sample: Sample) -> int:
    """Give the sample project a dataset of 683 rows."""
    with unit_of_work(app.state.studio.engine) as session:
        dataset = session.get(Dataset, sample.datasets["ready"])
        assert dataset
        assert dataset.version_id
        version = session.get(DatasetVersion, dataset.version_id)
        assert version
        version.rows = 683
    return 683


def test_a_dataset_is_measured_by_the_goal_of_its_project(browser: TestClient, sample: Sample) -> None:
    here = f"/datasets/{sample.datasets['ready']}"
    browser.post("/goal", data={"what": "distil"})
    assert "<summary>Learn from a large model&#39;s answers</summary>" in browser.get(here).text
    assert "<summary>A consistent style</summary>" in browser.get(here, params={"goal": "style"}).text


def test_a_recipe_shows_its_row_its_measures_and_its_settings(empty: TestClient) -> None:
    page = words_of(empty.get("/goal/recipes/pii-masking").text)
    for told in (
        "My name is [NAME] and my ID is [ID]",
        "The same to the letter",
        "Thorough",
        "Bases that suit it",
    ):
        assert told in page
    assert empty.get("/goal/recipes/nothing").status_code == 404


def test_using_a_recipe_adds_its_sample_and_its_goal(empty: TestClient) -> None:
    used = empty.post("/goal/recipes/classification/sample", data={"rows": "60", "seed": ""})
    assert used.status_code == 303
    here = re.fullmatch(r"(/goal/recipes/classification\?dataset_id=[0-9a-f-]{36})#sample", used.headers["location"])
    assert here
    page = empty.get(here[1]).text
    assert "Being read" in page
    assert "hx-sse:connect" in page
    assert re.search(r'id="what-format"[^>]*checked', empty.get("/goal").text)
    empty.post("/goal/recipes/code-completion/sample", data={"rows": "60"})
    assert re.search(r'id="what-format"[^>]*checked', empty.get("/goal").text)


@pytest.mark.parametrize("headers", [{}, part("recipe_sample")], ids=["without htmx", "with htmx"])
def test_a_sample_that_is_ready_leads_to_a_run_with_its_settings(empty: TestClient, headers: dict[str, str]) -> None:
    here = empty.post("/goal/recipes/code-completion/sample", data={"rows": "60"}).headers["location"].removesuffix("#sample")
    studio = empty.app.state.studio  # type: ignore[attr-defined]
    with unit_of_work(studio.engine) as session:
        session.query(Dataset).update({"status": DatasetStatus.READY, "report": {"rows": 60}})
    page = unescape(empty.get(here, headers=headers).text)
    assert ("<!doctype html>" in page) is not bool(headers)
    assert re.search(r"/runs/new\?dataset_id=[0-9a-f-]{36}&base_model=hone-starter&preset=balanced&max_length=2048", page)
    assert "hx-sse:connect" not in page


@pytest.mark.parametrize("typed", [{"rows": "10"}, {"rows": "many"}, {"rows": "9" * 30}, {"seed": "-1"}, {"rows": "5000"}])
def test_a_sample_of_no_sensible_size_is_refused_in_words(empty: TestClient, typed: dict[str, str]) -> None:
    refused = empty.post("/goal/recipes/classification/sample", data=typed)
    assert refused.status_code == 422
    assert "Ask for 50 to 2,000 rows" in refused.text or "Give a whole number" in refused.text


def test_a_stranger_is_sent_to_sign_in(stranger: TestClient) -> None:
    answers = [stranger.get("/goal"), stranger.post("/goal"), stranger.get("/goal/recipes/translation")]
    answers.append(stranger.post("/goal/recipes/translation/sample"))
    assert all(answer.headers["location"].startswith("/signin") for answer in answers)
