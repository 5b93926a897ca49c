"""What people write on a run's page, and how they take a run up with changes."""

from __future__ import annotations

import re

import pytest
from fastapi.testclient import TestClient

from app.db import CheckpointRow, Dataset, DatasetVersion, Run
from app.db.base import utc_now
from app.db.session import reading, unit_of_work
from app.services.studio import Studio
from tests.web.walk import part
from tools.sample_project import Sample


def run_in(studio: Studio, run_id: str) -> Run:
    with reading(studio.engine) as session:
        return session.get_one(Run, run_id)


def test_labels_are_written_without_scripts_and_with(browser: TestClient, studio: Studio, sample: Sample) -> None:
    address = f"/runs/{sample.runs['running']}"
    fields = {"name": "emails-long", "notes": "one\r\n<b>two</b>", "tags": " Nightly, , big  rank,nightly"}
    answer = browser.post(f"{address}/labels", data=fields)
    assert (answer.status_code, answer.headers["Location"]) == (303, address)
    assert run_in(studio, sample.runs["running"]).tags == ["nightly", "big rank"]
    block = browser.post(f"{address}/labels", data=fields | {"tags": ""}, headers=part("run_labels")).text
    assert block.lstrip().startswith('<div class="labels" id="run-labels">')
    assert "one\n&lt;b&gt;two&lt;/b&gt;" in block
    assert run_in(studio, sample.runs["running"]).tags == []


def test_a_new_name_draws_the_whole_page_anew_and_leaves_the_model_its_name(browser: TestClient, studio: Studio, sample: Sample) -> None:
    address = f"/runs/{sample.runs['done']}"
    assert f"The model keeps the name it has: {sample.model}" in browser.get(address).text
    answer = browser.post(f"{address}/labels", data={"name": "better"}, headers=part("run_labels"))
    assert (answer.status_code, answer.headers["HX-Redirect"]) == (204, address)
    run = run_in(studio, sample.runs["done"])
    assert (run.name, run.model) == ("better", sample.model)


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("name", " ", "Fill this in."),
        ("notes", "n" * 10_001, "Keep it to 10000 characters."),
        ("tags", "t" * 41, "is longer than 40 characters."),
        ("tags", ",".join(f"t{n}" for n in range(21)), "These are 21 tags; 20 is the most."),
    ],
)
def test_what_cannot_be_kept_stands_beside_its_field(browser: TestClient, sample: Sample, field: str, value: str, says: str) -> None:
    answer = browser.post(f"/runs/{sample.runs['done']}/labels", data={"name": "x", field: value}, headers=part("run_labels"))
    assert answer.status_code == 422
    assert "<details open>" in answer.text
    assert says in answer.text.split(f'id="{field}-error"')[1]


def test_a_run_says_what_it_changed_and_who_took_it_up(browser: TestClient, sample: Sample) -> None:
    page = browser.get(f"/runs/{sample.runs['failed']}").text
    line = page.split("<dt>Cloned from</dt>")[1].split("</dd>")[0]
    assert f'href="/runs/{sample.runs["done"]}">emails-balanced</a>' in line
    assert re.sub(r"<.*?>", "", line).endswith("changed: rank 16 → 512")
    taken_up = browser.get(f"/runs/{sample.runs['done']}").text.split("<dt>Taken up by</dt>")[1].split("</dd>")[0]
    assert all(sample.runs[name] in taken_up for name in ("failed", "running", "queued"))


def test_every_run_can_be_cloned(browser: TestClient, sample: Sample) -> None:
    for run_id in sample.runs.values():
        assert f'href="/runs/new?from={run_id}"' in browser.get(f"/runs/{run_id}").text
        assert "so far: change what you want to try" in browser.get(f"/runs/new?from={run_id}").text


def test_a_clone_keeps_its_origin_while_it_is_changed_and_launched(browser: TestClient, studio: Studio, sample: Sample) -> None:
    page = browser.get(f"/runs/new?from={sample.runs['failed']}").text
    fields = dict(re.findall(r'<input[^>]*name="(\w+)"[^>]*value="([^"]+)"', page))
    assert (fields["name"], fields["tags"], fields["cloned_from"], fields["rank"]) == (
        "emails-wide 2",
        "nightly, rank",
        sample.runs["failed"],
        "512",
    )
    changed = {name: fields[name] for name in ("name", "tags", "cloned_from", "base_model", "epochs", "batch_size")}
    changed |= {"dataset_id": sample.datasets["ready"], "preset": "balanced", "learning_rate": "0.001", "rank": ""}
    card = browser.get("/runs/new", params=changed, headers=part("run_card")).text
    said = re.sub(r"<.*?>", "", card.split('id="run-changes"')[1].split("</div>")[0])
    assert said.endswith("Changed against emails-wide: learning rate 0.002 → 0.001, rank 512 → 16.")
    run = run_in(studio, browser.post("/runs", data=changed).headers["Location"].removeprefix("/runs/"))
    assert (run.name, run.tags, run.cloned_from) == ("emails-wide 2", ["nightly", "rank"], sample.runs["failed"])
    assert 'value="emails-wide 3"' in browser.get(f"/runs/new?from={run.id}").text


def test_a_clone_of_a_run_whose_dataset_is_gone_says_so_and_chooses_none(browser: TestClient, studio: Studio, sample: Sample) -> None:
    with unit_of_work(studio.engine) as session:
        mails = session.get_one(Dataset, sample.datasets["ready"])
        mails.deleted_at = utc_now()
        other = Dataset(project_id=mails.project_id, name="other", filename="x", status="ready", report={"rows": 9})
        session.add(other)
        session.flush()
        version = mails.version
        assert version
        rows = {"rows": 9, "train_rows": 8, "test_rows": 1, "rows_id": version.rows_id}
        made = DatasetVersion(project_id=mails.project_id, dataset_id=other.id, **rows)
        session.add(made)
        session.flush()
        other.version_id, new = made.id, other.id
    page = browser.get(f"/runs/new?from={sample.runs['done']}").text
    assert "The dataset support-emails was deleted since. Choose another one." in page
    assert 'href="#dataset_id">Choose a dataset</a>' in page
    card = browser.get(f"/runs/new?from={sample.runs['done']}&dataset_id={new}").text
    assert 'dataset <span class="mono">support-emails</span> → <span class="mono">other</span>' in card


def test_a_clone_of_a_run_whose_dataset_has_changed_says_so(browser: TestClient, studio: Studio, sample: Sample) -> None:
    with unit_of_work(studio.engine) as session:
        mails = session.get_one(Dataset, sample.datasets["ready"])
        version = mails.version
        assert version
        rows = {"rows": 683, "train_rows": 609, "test_rows": 74, "rows_id": version.rows_id, "number": 2}
        session.add(newer := DatasetVersion(project_id=mails.project_id, dataset_id=mails.id, **rows))
        session.flush()
        mails.version_id = newer.id
    page = browser.get(f"/runs/new?from={sample.runs['done']}").text
    assert "The dataset support-emails has changed since" in page
    assert "support-emails, version 2" in page


def test_an_origin_that_was_deleted_meanwhile_is_forgotten(browser: TestClient, sample: Sample) -> None:
    fields = {"cloned_from": "gone", "dataset_id": sample.datasets["ready"]}
    assert browser.post("/runs", data=fields).status_code == 303
    assert browser.get("/runs/new?from=gone").status_code == 404


def test_checkpoints_are_deleted_from_the_page_of_an_ended_run(browser: TestClient, studio: Studio, sample: Sample) -> None:
    address = f"/runs/{sample.runs['done']}"
    page = browser.get(address).text
    assert "10.5 MB, 9.0 MB of it checkpoints" in page
    assert "delete-checkpoints" not in browser.get(f"/runs/{sample.runs['running']}").text
    assert browser.post(f"{address}/checkpoints").headers["Location"] == address
    after = browser.get(address).text
    assert "delete-checkpoints" not in after
    assert "owner deleted the checkpoints. What was learned stays in the adapter." in after
    with reading(studio.engine) as session:
        states = {row.state for row in session.query(CheckpointRow).filter_by(run_id=sample.runs["done"])}
    assert states == {"removed"}
    assert browser.post(f"/runs/{sample.runs['running']}/checkpoints").status_code == 409


def test_the_settings_say_what_everything_holds(browser: TestClient) -> None:
    page = browser.get("/settings").text
    assert re.search(r"19\.6 MB in 6 runs</a>, \d+ kB in \d+ datasets; [\d.]+ [GT]B free", page)
