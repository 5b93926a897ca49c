"""Measurements on pages: asked for by a form, followed while they last, and read row by row."""

from __future__ import annotations

from datetime import timedelta

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from app.db import Baseline, Dataset, Project
from app.db.base import utc_now
from app.db.session import unit_of_work
from app.domain.baselines import AskedModel, Plan, Said, Way, sum_up
from app.domain.metrics import Metric, Shape
from app.services.studio import Studio
from tests.web.walk import part
from tools.sample_project import Sample

FORM = {"base_model": "hone-starter", "rows": "8", "k": "2", "max_tokens": "64", "zero_shot": "1", "few_shot": "1", "outside": ""}
LARGE = AskedModel(name="large", connection_id="c", prompt_price=1, answer_price=2)
PLAN = Plan(
    dataset="mails", models=(AskedModel(name="org/small", place={}), LARGE),
    methods=(Way.ZERO_SHOT, Way.FEW_SHOT), k=2, rows=12, max_tokens=64,
)  # fmt: skip


def said(row: int, model: int, way: Way) -> Said:
    """Examples make it right, except in the first row; the large one is right without them too."""
    is_right = way is Way.FEW_SHOT and row > 0
    return Said(
        model=model, way=way, row=row, text="refund" if is_right else "delivery <b>", seconds=1.5, prompt_tokens=100, answer_tokens=2,
        examples=() if way is Way.ZERO_SHOT else (1200, 7), scores=dict.fromkeys(Metric, float(is_right)), is_cut=not is_right,
    )  # fmt: skip


@pytest.fixture
def project_id(studio: Studio) -> str:
    with unit_of_work(studio.engine) as session:
        return session.scalars(select(Dataset.project_id)).first() or ""


def entered(studio: Studio, project_id: str, **columns: object) -> str:
    """Enter a measurement; done unless `columns` say otherwise."""
    everything = [said(row, model, way) for row in range(12) for model in range(2) for way in PLAN.methods]
    results = sum_up(PLAN, everything, Shape.LABELS, labels=4, rows=12, test_rows=40, training_rows=560)
    of_row = {n: [each.model_dump(mode="json") for each in everything if each.row == n] for n in range(12)}
    rows = [{"row": n, "prompt": f"user: mail {n}", "expected": "refund", "said": answers} for n, answers in of_row.items()]
    given = {"status": "succeeded", "results": results.model_dump(mode="json"), "answers": {"rows": rows}, "total": 48, "done": 48}
    with unit_of_work(studio.engine) as session:
        made = Baseline(
            project_id=project_id, dataset_id="gone", version_id="v", plan=PLAN.model_dump(mode="json"), queue="cpu", **given | columns
        )
        session.add(made)
        session.flush()
        return made.id


@pytest.mark.parametrize("fragment", [False, True])
def test_the_form_leads_to_the_measurement(browser: TestClient, sample: Sample, fragment: bool) -> None:  # noqa: FBT001 - two ways
    headers = part("baseline_form") if fragment else {}
    answer = browser.post("/baselines", data=FORM | {"dataset_id": sample.datasets["ready"]}, headers=headers)
    address = answer.headers["HX-Redirect" if fragment else "Location"]
    page = browser.get(address).text
    assert "Waiting for a worker." in page
    assert 'hx-sse:connect="/live?topics=baselines' in page
    assert address in browser.get("/baselines").text


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"rows": "900"}, "Give 200 or less."), ({"k": "many"}, "Give a whole number."),
        ({"base_model": "org/name"}, "org/name is not on this machine"), ({"dataset_id": "none"}, "There is no dataset"),
        ({"outside": "none"}, "There is no such outside model."),
    ],
)  # fmt: skip
@pytest.mark.parametrize("fragment", [False, True])
def test_what_is_wrong_is_said_beside_its_field(
    browser: TestClient,
    sample: Sample,
    wrong: dict[str, str],
    words: str,
    fragment: bool,  # noqa: FBT001 - two ways
) -> None:
    answer = browser.post(
        "/baselines", data=FORM | {"dataset_id": sample.datasets["ready"]} | wrong, headers=part("baseline_form") if fragment else {}
    )
    assert answer.status_code == 422
    assert words in answer.text
    assert answer.text.lstrip().startswith("<form" if fragment else "<!doctype")
    assert f'id="{next(iter(wrong))}-error"' in answer.text


def test_without_a_way_to_ask_nothing_is_measured(browser: TestClient, sample: Sample) -> None:
    answer = browser.post("/baselines", data=FORM | {"dataset_id": sample.datasets["ready"], "zero_shot": "", "few_shot": ""})
    assert answer.status_code == 422
    assert "Choose at least one." in answer.text


def test_the_form_begins_with_what_a_link_names(browser: TestClient, sample: Sample) -> None:
    page = browser.get(f"/baselines?dataset_id={sample.datasets['ready']}&base_model=hone-starter").text
    assert f'<option value="{sample.datasets["ready"]}" selected>' in page
    assert 'value="hone-starter"' in page


def test_the_sentence_and_the_advice_stand_first(browser: TestClient, studio: Studio, project_id: str) -> None:
    page = browser.get(f"/baselines/{entered(studio, project_id)}").text
    assert "Tuning has to beat 92 % (±27): few-shot with 2 examples on small; zero-shot on small 0 %" in page
    assert page.index("Tuning has to beat") < page.index("Tuning is worth trying") < page.index("Every way it was asked")
    assert "These are only 12 rows" in page
    assert "hx-sse:connect" not in page
    # 1,200 prompt tokens at 1 and 24 answer tokens at 2 for a million.
    assert "0.00125" in page
    assert "own machine" in page
    assert "nor for one what nearly repeats it, unless so many do that it is their form" in page


def test_ranges_are_drawn_and_said(browser: TestClient, studio: Studio, project_id: str) -> None:
    page = browser.get(f"/baselines/{entered(studio, project_id)}").text
    assert 'aria-label="Label right 92 %, between 65 and 99 % as far as chance goes"' in page
    assert '<rect class="chance" x="64.6" y="3" width="33.' in page


@pytest.mark.parametrize("fragment", [False, True])
def test_rows_are_shown_page_by_page_and_by_what_went_wrong(
    browser: TestClient,
    studio: Studio,
    project_id: str,
    fragment: bool,  # noqa: FBT001 - two ways
) -> None:
    address, headers = f"/baselines/{entered(studio, project_id)}", part("baseline_rows") if fragment else {}
    first = browser.get(address, headers=headers).text
    assert (first.count('<article class="asked"'), "Next 10" in first, "1–10 of 12 rows" in first) == (10, True, True)
    assert browser.get(f"{address}?after=10", headers=headers).text.count('<article class="asked"') == 2
    wrong = browser.get(f"{address}?only=wrong", headers=headers).text
    assert wrong.count('<article class="asked"') == 1
    assert "mail 0" in wrong
    assert browser.get(f"{address}?only=differ", headers=headers).text.count('<article class="asked"') == 10
    assert "11 rows" in browser.get(f"{address}?only=differ", headers=headers).text


def test_answers_are_no_markup_and_their_differences_are_marked(browser: TestClient, studio: Studio, project_id: str) -> None:
    page = browser.get(f"/baselines/{entered(studio, project_id)}").text
    assert '<ins title="not in the expected answer">delivery &lt;b&gt;</ins>' in page
    assert "shown rows 1,200, 7" in page


def test_a_running_measurement_says_how_far_it_is_and_how_long_it_takes(browser: TestClient, studio: Studio, project_id: str) -> None:
    begun = utc_now() - timedelta(seconds=1025)  # so that the words stay the same for half a minute more
    baseline_id = entered(
        studio,
        project_id,
        status="running",
        results={},
        answers={},
        done=22,
        done_before=2,
        started_at=begun,
        lease_owner="w",
        lease_token=1,
    )
    page = browser.get(f"/baselines/{baseline_id}").text
    assert "Asking: 22 of 48 answers; about 22 min" in page
    assert 'value="22" max="48"' in page
    assert "Asking: 22 of 48" in browser.get("/baselines", headers=part("baselines_table")).text


def test_one_that_waits_for_the_gpu_says_so_and_foretells_nothing(browser: TestClient, studio: Studio, project_id: str) -> None:
    begun = utc_now() - timedelta(hours=5)
    asking = {"status": "running", "results": {}, "answers": {}, "done": 22, "started_at": begun, "lease_owner": "w", "lease_token": 1}
    page = browser.get(f"/baselines/{entered(studio, project_id, reason='The GPU is training <b>mails</b>.', **asking)}").text
    assert "Waiting, with 22 of 48 answers. The GPU is training &lt;b&gt;mails&lt;/b&gt;." in page
    assert "left" not in page[page.index("Waiting, with") :][:200]
    assert "/cancel" in page
    assert "Waiting, with 22 of 48 answers. The GPU" in browser.get("/baselines", headers=part("baselines_table")).text


def test_how_long_it_takes_is_foretold_only_when_every_model_had_its_first_rows(
    browser: TestClient, studio: Studio, project_id: str
) -> None:
    begun = utc_now() - timedelta(seconds=60)
    asking = {"status": "running", "results": {}, "answers": {}, "started_at": begun, "lease_owner": "w", "lease_token": 1}
    # Two models in two ways: four rows are sixteen answers.
    assert "Asking: 15 of 48 answers.<" in browser.get(f"/baselines/{entered(studio, project_id, done=15, **asking)}").text
    assert "Asking: 16 of 48 answers; about" in browser.get(f"/baselines/{entered(studio, project_id, done=16, **asking)}").text


@pytest.mark.parametrize("fragment", [False, True])
def test_cancelling_works_with_and_without_scripts(browser: TestClient, studio: Studio, project_id: str, fragment: bool) -> None:  # noqa: FBT001 - two ways
    address = f"/baselines/{entered(studio, project_id, status='queued', results={}, done=0)}"
    answer = browser.post(f"{address}/cancel", headers=part("baseline_now") if fragment else {})
    assert answer.status_code == (200 if fragment else 303)
    page = answer.text if fragment else browser.get(address).text
    assert "Cancelled; nothing was kept." in page
    assert browser.post(f"{address}/delete").headers["Location"] == "/baselines"
    assert browser.get(address).status_code == 404


@pytest.mark.parametrize(
    ("code", "words"),
    [("key_refused", "Replace the key under"), ("model_away", "the model could not be asked"), ("internal", "was not kept")],
)
def test_a_failure_says_what_to_do(browser: TestClient, studio: Studio, project_id: str, code: str, words: str) -> None:
    failed = entered(studio, project_id, status="failed", reason="It did not work.", error_code=code, results={}, answers={})
    page = browser.get(f"/baselines/{failed}").text
    assert "It did not work." in page
    assert words in page


def test_those_of_others_are_not_there(browser: TestClient, studio: Studio) -> None:
    with unit_of_work(studio.engine) as session:
        project = Project(name="theirs")
        session.add(project)
        session.flush()
        foreign = project.id
    address = f"/baselines/{entered(studio, foreign)}"
    assert [browser.get(address).status_code, browser.post(f"{address}/delete").status_code] == [404, 404]
    assert address not in browser.get("/baselines").text


def test_a_stranger_is_sent_to_sign_in(stranger: TestClient) -> None:
    for address in ("/baselines", "/baselines/x"):
        assert stranger.get(address).headers["Location"].startswith("/signin")
