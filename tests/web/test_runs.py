from __future__ import annotations

import pytest
from fastapi.testclient import TestClient
from markupsafe import escape

from app.db import Dataset, Run
from app.db.base import utc_now
from app.db.session import reading, unit_of_work
from app.domain.specs import PRESETS, Preset, TrainingSettings
from app.services.studio import Studio
from tests.web.walk import part
from tools.sample_project import Sample


def run_in(studio: Studio, run_id: str) -> Run:
    with reading(studio.engine) as session:
        return session.get_one(Run, run_id)


def test_three_clicks_start_a_run(browser: TestClient, studio: Studio, sample: Sample) -> None:
    answer = browser.post("/runs", data={"base_model": "hone-starter", "dataset_id": sample.datasets["ready"], "preset": "quick"})
    assert answer.status_code == 303
    run = run_in(studio, answer.headers["Location"].removeprefix("/runs/"))
    assert (run.status, run.preset, run.name, run.spec["settings"]["epochs"]) == ("queued", "quick", "support-emails quick", 4)


def test_settings_go_over_the_preset(browser: TestClient, studio: Studio, sample: Sample) -> None:
    fields = {
        "dataset_id": sample.datasets["ready"],
        "name": "mine",
        "max_steps": "20",
        "tuning": "qlora",
        "learning_rate": "0.001",
        "rank": "",
    }
    run = run_in(studio, browser.post("/runs", data=fields).headers["Location"].removeprefix("/runs/"))
    settings = run.spec["settings"]
    assert (run.name, run.total_steps, settings["tuning"], settings["learning_rate"], settings["rank"]) == ("mine", 20, "qlora", 0.001, 16)


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("rank", "-4", "Give 1 or more."),
        ("epochs", "many", "Give a number."),
        ("learning_rate", "7", "Give 1 or less, or auto."),
        ("base_model", "no such base", "is neither hone-starter"),
        ("base_model", "/nowhere/at/all", "There is no folder"),
    ],
)
def test_what_is_wrong_stands_beside_the_field_with_what_was_typed(
    browser: TestClient, sample: Sample, field: str, value: str, says: str
) -> None:
    answer = browser.post("/runs", data={"dataset_id": sample.datasets["ready"], "name": "kept", field: value})
    assert answer.status_code == 422
    assert f'id="{field}-error"' in answer.text
    assert says in answer.text
    assert f'value="{value}"' in answer.text
    assert 'value="kept"' in answer.text
    assert f'href="#{field}">Mend' in answer.text


def test_what_is_wrong_stands_beside_the_field_while_it_is_typed(browser: TestClient, sample: Sample) -> None:
    typed = {"dataset_id": sample.datasets["ready"], "rank": "0", "epochs": "x"}
    form = browser.get("/runs/new", params=typed, headers=part("run_form")).text
    assert 'id="rank-error"' in form
    assert 'href="#epochs">Mend epochs' in form  # the first on the page, whatever else there is
    assert 'id="run-head" hx-swap-oob="outerMorph"' in form


def test_settings_that_do_not_go_together_are_told_beside_the_field(browser: TestClient, sample: Sample) -> None:
    fields = {"dataset_id": sample.datasets["ready"], "tuning": "full", "rslora": "yes"}
    answer = browser.post("/runs", data=fields)
    assert answer.status_code == 422
    assert "Full fine-tuning has no adapter to set this for" in answer.text.partition('id="rslora-error"')[2].partition("</span>")[0]
    assert '<option value="yes" selected>yes</option>' in answer.text
    card = browser.get("/runs/new", params=fields | {"rslora": "no"}, headers=part("run_card")).text
    assert "full tuning" in card
    assert "LoRA trains a small adapter" not in card
    assert "Start training" in card


def test_the_button_names_what_is_missing(browser: TestClient, empty: TestClient, studio: Studio) -> None:
    assert "Upload a file of examples</a>" in empty.get("/runs/new").text
    with unit_of_work(studio.engine) as session:
        for dataset in session.query(Dataset).filter(Dataset.status.in_(["ready", "importing"])):
            dataset.status = "failed"
    page = browser.get("/runs/new").text
    assert "Map the columns of bitext</a>" in page
    assert "Start training" not in page


def test_the_card_follows_the_form(browser: TestClient, sample: Sample) -> None:
    card = browser.get("/runs/new", params={"dataset_id": sample.datasets["ready"], "preset": "thorough"}, headers=part("run_card")).text
    thorough = PRESETS[Preset.THOROUGH]
    assert f"LoRA, rank {thorough['rank']}" in card
    assert "Start training" in card
    assert f"epochs: {thorough['epochs']}" in card
    assert "<!doctype" not in card


def test_every_setting_has_a_field_with_its_help(browser: TestClient) -> None:
    page = browser.get("/runs/new").text
    for name, field in TrainingSettings.model_fields.items():
        assert f'name="{name}"' in page
        assert escape(str(field.description)) in page


def test_a_run_can_be_cloned_with_what_differs_from_its_preset(browser: TestClient, sample: Sample) -> None:
    page = browser.get(f"/runs/new?from={sample.runs['failed']}").text
    assert 'value="emails-wide 2"' in page
    assert 'name="rank" type="text" value="512"' in page
    assert 'name="learning_rate" type="text" value=""' in page


def test_prompts_of_ones_own_are_lines_of_the_form_and_of_a_clones(browser: TestClient, studio: Studio, sample: Sample) -> None:
    fields = {"name": "asked", "dataset_id": sample.datasets["ready"], "sample_prompts": "What is a token?\r\nAnd a row?"}
    made = browser.post("/runs", data=fields).headers["Location"].removeprefix("/runs/")
    assert run_in(studio, made).spec["settings"]["sample_prompts"] == ["What is a token?", "And a row?"]
    form = browser.get(f"/runs/new?from={made}").text
    assert ">What is a token?\nAnd a row?</textarea>" in form
    refused = browser.post("/runs", data=fields | {"sample_prompts": "x\n" * 9})
    assert (refused.status_code, "Give 8 at most." in refused.text) == (422, True)


def test_a_run_tells_its_story_in_its_heading(browser: TestClient, studio: Studio, sample: Sample) -> None:
    heading = {name: browser.get(f"/runs/{run_id}").text.split("<h1>")[1].split("</h1>")[0] for name, run_id in sample.runs.items()}
    steps = {name: run_in(studio, run_id).total_steps for name, run_id in sample.runs.items()}
    assert heading["running"] == f"Step 223 of {steps['running']}, held-out loss 0.736, its best so far"
    assert heading["done"].startswith(f"Done after {steps['done']} steps")
    assert heading["queued"].startswith("Waiting to start.")
    assert heading["paused"] == f"Paused at step 40 of {steps['paused']}"
    assert heading["failed"] == f"Failed at step 12 of {steps['failed']}"


def test_only_a_run_that_lives_has_a_stream(browser: TestClient, sample: Sample) -> None:
    for name, run_id in sample.runs.items():
        page = browser.get(f"/runs/{run_id}").text
        lives = name in {"running", "queued", "paused"}
        assert ("hx-sse:connect" in page) is lives, name
        assert ('http-equiv="refresh"' in page) is lives, name


def test_a_failure_says_why_and_what_to_do(browser: TestClient, sample: Sample) -> None:
    page = browser.get(f"/runs/{sample.runs['failed']}").text
    assert '<header role="status"><h2' in page
    assert page.index("Each button launches a new run") < page.index('value="one_row"')
    for words in ("memory ran out.", "Causes are", "What to do:", 'value="one_row"', 'value="qlora"', "Clone and change"):
        assert words in page, words


def test_a_button_launches_a_clone_with_the_fix(browser: TestClient, studio: Studio, sample: Sample) -> None:
    answer = browser.post(f"/runs/{sample.runs['failed']}/clone", data={"fix": "qlora"})
    assert answer.status_code == 303
    clone = run_in(studio, answer.headers["Location"].removeprefix("/runs/"))
    assert (clone.status, clone.cloned_from, clone.spec["settings"]["tuning"]) == ("queued", sample.runs["failed"], "qlora")


def test_actions_work_without_scripts_and_with(browser: TestClient, studio: Studio, sample: Sample) -> None:
    address = f"/runs/{sample.runs['running']}"
    answer = browser.post(f"{address}/pause")
    assert (answer.status_code, answer.headers["Location"]) == (303, address)
    block = browser.post(f"{address}/cancel", headers=part("run_now")).text
    assert "Cancelling" in block
    assert 'id="live-slot" hx-swap-oob="outerHTML"' in block
    assert 'id="rail"' in block
    assert run_in(studio, sample.runs["running"]).status == "cancelling"


def test_an_action_that_comes_too_late_changes_nothing(browser: TestClient, studio: Studio, sample: Sample) -> None:
    address = f"/runs/{sample.runs['done']}/pause"
    assert browser.post(address).status_code == 409
    late = browser.post(address, headers=part("run_now"))
    assert (late.status_code, late.headers["HX-Retarget"]) == (409, "#notice")
    assert run_in(studio, sample.runs["done"]).status == "succeeded"


def test_values_stand_in_a_table_and_as_a_drawing_for_readers_without_scripts(browser: TestClient, sample: Sample) -> None:
    page = browser.get(f"/runs/{sample.runs['running']}").text
    assert '<svg class="plot"' in page.split("<noscript>")[-1]
    assert page.count('<td class="num mono"') > 100


def test_a_run_is_taken_away_as_a_file(browser: TestClient, sample: Sample) -> None:
    answer = browser.get(f"/runs/{sample.runs['done']}/spec.yaml")
    assert "base_model: hone-starter" in answer.text
    assert "spec.yaml" in answer.headers["Content-Disposition"]
    nothing_yet = browser.get(f"/runs/{sample.runs['paused']}/adapter.zip")
    assert (nothing_yet.status_code, "made no model yet" in nothing_yet.text) == (404, True)


def test_a_deleted_dataset_is_named_and_leads_nowhere(browser: TestClient, studio: Studio, sample: Sample) -> None:
    address = f"/runs/{sample.runs['done']}"
    export = f"/datasets/{sample.datasets['ready']}/export"
    assert export in browser.get(address).text
    with unit_of_work(studio.engine) as session:
        session.get_one(Dataset, sample.datasets["ready"]).deleted_at = utc_now()
    page = browser.get(address).text
    assert f"/datasets/{sample.datasets['ready']}" not in page
    assert "support-emails" in page


def test_a_failure_that_a_later_success_made_good_needs_nobody(browser: TestClient, studio: Studio, sample: Sample) -> None:
    assert "emails-wide failed" in browser.get("/").text
    with unit_of_work(studio.engine) as session:
        session.get_one(Run, sample.runs["running"]).status = "succeeded"
    assert "emails-wide failed" not in browser.get("/").text


@pytest.mark.parametrize("address", ["/runs", "/board", "/datasets"])
def test_no_doorbell_replaces_an_older_page_with_the_newest(browser: TestClient, sample: Sample, address: str) -> None:
    assert 'id="live-slot"' in browser.get(address).text
    assert 'id="live-slot"' not in browser.get(f"{address}?after={sample.runs['running']}").text


def test_lists_are_paged(browser: TestClient, sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.web.routes.run_list.PAGE_ROWS", 2)
    page = browser.get("/runs").text
    assert "Older runs" in page
    after = page.split("/runs?after=")[1].split('"')[0]
    older = browser.get(f"/runs?after={after}").text
    assert "typo" in older
    assert "emails-long" not in older


def test_the_board_says_how_many_wait_behind_those_it_shows(browser: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.web.routes.board.WAITING_ROWS", 1)
    assert "1 more run behind these." in browser.get("/board").text


def test_a_run_with_a_setting_that_is_gone_has_its_page(browser: TestClient, studio: Studio, sample: Sample) -> None:
    with unit_of_work(studio.engine) as session:
        run = session.get_one(Run, sample.runs["failed"])
        run.spec = run.spec | {"settings": run.spec["settings"] | {"of_an_older_version": 1}}
    assert browser.get(f"/runs/{sample.runs['failed']}").status_code == 200
