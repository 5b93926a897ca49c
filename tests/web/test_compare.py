"""The page that compares runs: with everything right, and with everything that can be wrong about a choice."""

from __future__ import annotations

import csv
import io
import json
import re

import pytest
from fastapi.testclient import TestClient

from app.db import Project, Run
from app.db.session import unit_of_work
from app.services.studio import Studio
from tests.web.walk import part
from tools.sample_project import Sample


def address(*ids: str, suffix: str = "") -> str:
    return f"/runs/compare{suffix}?ids={','.join(ids)}"


def test_names_curves_scores_and_differences_stand_side_by_side(browser: TestClient, sample: Sample) -> None:
    page = browser.get(address(sample.runs["done"], sample.runs["running"])).text
    assert "<h1>emails-balanced and emails-long</h1>" in page
    assert "They differ in epochs." in page
    assert page.count(">best</span>") >= 1
    series = json.loads(re.search(r"data-series='([^']*)'", page)[1].replace("&#34;", '"'))  # type: ignore[index]
    assert [(run["letter"], run["name"]) for run in series] == [("A", "emails-balanced"), ("B", "emails-long")]
    assert len(series[0]["held_out"][0]) == len(series[0]["held_out"][1]) > 2
    assert "<noscript>" in page


def test_ticks_of_a_list_are_understood_too(browser: TestClient, sample: Sample) -> None:
    answer = browser.get(f"/runs/compare?ids={sample.runs['done']}&ids={sample.runs['paused']}")
    assert "emails-balanced and emails-slow" in answer.text


def test_six_fit_within_a_pages_weight(browser: TestClient, sample: Sample) -> None:
    page = browser.get(address(*sample.runs.values()))
    assert page.status_code == 200
    assert "6 runs side by side" in page.text
    assert len(page.content) < 150_000


def test_every_block_stands_alone(browser: TestClient, sample: Sample) -> None:
    for block in ("compare_runs", "compare_chart", "compare_values", "compare_scores"):
        answer = browser.get(address(sample.runs["done"], sample.runs["running"]), headers=part(block))
        assert f'id="{block.replace("_", "-")}"' in answer.text
        assert "<!doctype" not in answer.text


@pytest.mark.parametrize(("which", "status", "says"), [
    (["done"], 200, "Choose two to 6."),
    ([], 200, "Choose two to 6."),
    (["done", "nowhere"], 404, "1 run of those named is not here"),
    (["done", *"abcdef"], 404, "6 runs of those named are not here"),
])  # fmt: skip
def test_a_choice_that_is_not_right_can_be_mended_and_nothing_of_it_is_lost(
    browser: TestClient, sample: Sample, which: list[str], status: int, says: str
) -> None:
    answer = browser.get(address(*(sample.runs.get(name, name) for name in which)))
    assert answer.status_code == status
    assert says in answer.text
    ticked = re.findall(r'value="([0-9a-f-]{36})" checked', answer.text)
    assert ticked == [sample.runs[name] for name in which if name in sample.runs]
    assert answer.text.count('name="ids"') == len(sample.runs)


def test_more_than_six_are_too_many(browser: TestClient, studio: Studio, sample: Sample) -> None:
    with unit_of_work(studio.engine) as session:
        like = session.get_one(Run, sample.runs["done"])
        further = Run(
            project_id=like.project_id, name="seventh", method="sft", base_model="x", spec=like.spec, version=like.version, total_steps=1,
            queue="gpu",
        )  # fmt: skip
        session.add(further)
        session.flush()
        ids = [*sample.runs.values(), further.id]
    answer = browser.get(address(*ids))
    assert answer.status_code == 422
    assert "7 runs are too many" in answer.text
    assert answer.text.count(" checked") == 7


def test_another_projects_run_is_not_there(browser: TestClient, studio: Studio, sample: Sample) -> None:
    with unit_of_work(studio.engine) as session:
        project = Project(name="theirs")
        session.add(project)
        session.flush()
        session.get_one(Run, sample.runs["paused"]).project_id = project.id
    answer = browser.get(address(sample.runs["done"], sample.runs["paused"]))
    assert answer.status_code == 404
    assert "emails-slow" not in answer.text


def test_the_files_hold_the_same_and_no_formula(browser: TestClient, studio: Studio, sample: Sample) -> None:
    with unit_of_work(studio.engine) as session:
        session.get_one(Run, sample.runs["done"]).name = '=HYPERLINK("x")'
    both = (sample.runs["done"], sample.runs["running"])
    rows = list(csv.reader(io.StringIO(browser.get(address(*both, suffix=".csv")).text)))
    assert rows[0] == ["", '\'=HYPERLINK("x")', "emails-long"]
    assert {"eval/loss", "epochs", "launched by"} <= {row[0] for row in rows}
    told = browser.get(address(*both, suffix=".json"))
    assert [run["id"] for run in told.json()["runs"]] == list(both)
    assert 'filename="comparison.json"' in told.headers["Content-Disposition"]


def test_a_live_run_keeps_the_page_fresh_and_ended_ones_do_not(browser: TestClient, sample: Sample) -> None:
    assert "hx-sse:connect" in browser.get(address(sample.runs["done"], sample.runs["running"])).text
    assert "hx-sse:connect" not in browser.get(address(sample.runs["done"], sample.runs["failed"])).text


def test_the_list_leads_here(browser: TestClient) -> None:
    assert 'formaction="/runs/compare"' in browser.get("/runs").text


def test_a_stranger_is_sent_to_sign_in(stranger: TestClient, sample: Sample) -> None:
    for suffix in ("", ".csv", ".json"):
        assert stranger.get(address(sample.runs["done"], suffix=suffix)).headers["Location"].startswith("/signin")
