from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.db import Dataset
from app.db.session import reading
from app.domain.datasets import Message, Row, Split
from app.domain.errors import Unavailable
from app.services.studio import Studio
from app.web.rows_view import shared_prompt
from tests.web.walk import part
from tools.sample_project import Sample

LINE = b'{"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]}\n'
PICTURE = b"\x89PNG\r\n\x1a\n" + b"\0" * 64


def test_a_plain_form_uploads_and_leads_to_the_dataset(browser: TestClient) -> None:
    answer = browser.post("/datasets", files={"file": ("greetings.jsonl", LINE * 3)})
    assert answer.status_code == 303
    page = browser.get(answer.headers["Location"]).text
    assert "greetings.jsonl" in page
    assert "Waiting for a worker to read the file" in page
    assert "/live?topics=dataset" in page


def test_the_script_gets_the_address_as_json(browser: TestClient) -> None:
    answer = browser.post("/datasets", files={"file": ("a.jsonl", LINE)}, headers={"Accept": "application/json"})
    assert answer.status_code == 201
    assert browser.get(answer.json()["href"]).status_code == 200


@pytest.mark.parametrize(
    ("name", "content", "status"), [("a.jsonl", PICTURE, 415), ("a.rar", b"Rar!\x1a\x07\x01\0", 415), ("a.jsonl", b"", 422)]
)
def test_a_file_that_holds_no_examples_is_refused_with_the_reason(
    browser: TestClient, studio: Studio, name: str, content: bytes, status: int
) -> None:
    answer = browser.post("/datasets", files={"file": (name, content)}, headers={"Accept": "application/json"})
    assert (answer.status_code, bool(answer.json()["message"])) == (status, True)
    page = browser.post("/datasets", files={"file": (name, content)})
    assert page.status_code == status
    assert answer.json()["message"].split("'")[0][:20] in page.text.replace("&#39;", "'")
    assert list(studio.incoming.iterdir()) == []


def test_a_refusal_after_the_upload_reaches_the_script_too(browser: TestClient, studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise Unavailable("The store is full.")

    monkeypatch.setattr(type(studio), "bring", refuse)
    answer = browser.post("/datasets", files={"file": ("a.jsonl", LINE)}, headers={"Accept": "application/json"})
    assert (answer.status_code, answer.json()) == (503, {"message": "The store is full."})


def test_turning_over_rows_leaves_the_rest_of_the_page_alone(browser: TestClient, sample: Sample) -> None:
    address = f"/datasets/{sample.datasets['ready']}"
    rows = browser.get(f"{address}?after=39", headers=part("dataset_rows")).text
    assert 'id="dataset-now"' not in rows
    assert f'href="{address}?after=19"' in rows
    assert 'id="dataset-rows" hx-swap-oob' in browser.get(address, headers=part("dataset_now")).text


def test_mapping_that_lacks_the_answer_is_shown_again_as_chosen(browser: TestClient, sample: Sample) -> None:
    address = f"/datasets/{sample.datasets['unmapped']}"
    answer = browser.post(f"{address}/mapping", data={"role-1": "user", "role-3": "", "system": "Be <brief>"})
    assert answer.status_code == 422
    assert "Say which column is the answer (assistant)." in answer.text
    assert "Be &lt;brief&gt;" in answer.text
    assert re.search(r'name="role-1"[^>]*>.*?value="user" selected', answer.text, re.DOTALL)


@pytest.mark.parametrize(
    "roles", [{"role-0": "user", "role-1": "user", "role-2": "assistant"}, {"role-0": "user", "role-1": "assistant", "role-2": "boss"}]
)
def test_mapping_that_makes_no_sense_is_refused(browser: TestClient, sample: Sample, roles: dict[str, str]) -> None:
    answer = browser.post(f"/datasets/{sample.datasets['unmapped']}/mapping", data=roles)
    assert answer.status_code == 422
    assert 'id="role-1-error"' in answer.text or 'id="role-2-error"' in answer.text


def test_a_mapping_has_the_file_read_again(browser: TestClient, studio: Studio, sample: Sample) -> None:
    address = f"/datasets/{sample.datasets['unmapped']}"
    answer = browser.post(f"{address}/mapping", data={"role-1": "user", "role-3": "assistant", "system": "Name the intent."})
    assert (answer.status_code, answer.headers["Location"]) == (303, address)
    with reading(studio.engine) as session:
        dataset = session.get_one(Dataset, sample.datasets["unmapped"])
        assert (dataset.status, dataset.mapping, dataset.system) == (
            "importing", {"user": "instruction", "assistant": "intent"}, "Name the intent.",
        )  # fmt: skip


def test_the_suggestion_is_chosen_beforehand(browser: TestClient, sample: Sample) -> None:
    page = browser.get(f"/datasets/{sample.datasets['unmapped']}").text
    assert re.search(r'name="role-1"[^>]*>.*?value="user" selected.*?name="role-4"[^>]*>.*?value="assistant" selected', page, re.DOTALL)


def test_rows_that_a_run_has_used_cannot_be_mapped_again(browser: TestClient, sample: Sample) -> None:
    address = f"/datasets/{sample.datasets['ready']}"
    assert "/mapping" not in browser.get(address).text
    answer = browser.post(f"{address}/mapping", data={"system": "x"})
    assert answer.status_code == 409


def test_rows_are_paged_by_their_number(browser: TestClient, sample: Sample) -> None:
    address = f"/datasets/{sample.datasets['ready']}"
    first = browser.get(address).text
    following = re.search(r"\?after=(\d+)", first)
    assert following
    page = browser.get(f"{address}?after={following[1]}", headers=part("dataset_rows")).text
    assert "case 1020" in page
    assert "case 1019" not in page
    assert "First page" in page


def test_problems_are_listed_with_their_lines(browser: TestClient, sample: Sample) -> None:
    page = browser.get(f"/datasets/{sample.datasets['ready']}?problem=broken").text
    assert "Not valid JSON: expected &#39;,&#39; at column 88." in page
    assert "Line 318" in page


def test_an_import_under_way_says_how_far_it_is(browser: TestClient, sample: Sample) -> None:
    assert "412 MB of 1.9 GB read, 302,114 rows so far." in browser.get(f"/datasets/{sample.datasets['importing']}").text


def test_all_rows_can_be_taken_away(browser: TestClient, sample: Sample) -> None:
    answer = browser.get(f"/datasets/{sample.datasets['ready']}/export")
    assert len(answer.text.splitlines()) == 683
    assert "support-emails.jsonl" in answer.headers["Content-Disposition"]


def test_a_dataset_in_use_cannot_be_deleted_and_another_can(browser: TestClient, sample: Sample) -> None:
    assert browser.post(f"/datasets/{sample.datasets['ready']}/delete").status_code == 409
    assert browser.post(f"/datasets/{sample.datasets['failed']}/delete").headers["Location"] == "/datasets"
    assert browser.get(f"/datasets/{sample.datasets['failed']}").status_code == 404


@pytest.mark.parametrize("payload", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7*7 }}", "' onmouseover='alert(1)"])
def test_names_are_shown_and_never_run(browser: TestClient, payload: str) -> None:
    made = browser.post("/datasets", files={"file": ("a.jsonl", LINE)}, data={"name": payload}).headers["Location"]
    for address in (made, "/datasets", "/runs/new"):
        page = browser.get(address).text
        assert payload not in page or payload == "{{ 7*7 }}", address
        assert "49" not in re.findall(r"<h1>(.*?)</h1>", page)


def test_a_file_beyond_the_limit_is_refused_before_it_is_read(make_app: Callable[..., FastAPI]) -> None:
    with TestClient(make_app(max_upload_bytes=1000), base_url="http://127.0.0.1") as browser:
        answer = browser.post("/datasets", files={"file": ("a.jsonl", LINE * 2000)}, headers={"Accept": "application/json"})
    assert (answer.status_code, "1,000 bytes" in answer.json()["message"]) == (413, True)


def test_the_list_says_how_many_runs_have_used_what(browser: TestClient) -> None:
    listed = browser.get("/datasets").text
    assert listed.count('data-label="used by">6 runs') == 1
    assert listed.count('data-label="used by">–') == 5


def test_conversations_of_one_turn_stand_in_a_grid_with_their_prompt_once(browser: TestClient, sample: Sample) -> None:
    rows = browser.get(f"/datasets/{sample.datasets['ready']}", headers=part("dataset_rows")).text
    assert "<th>user</th><th>assistant</th>" in rows
    assert rows.count("Sort the e-mail.") == 1


def test_other_shapes_are_shown_as_conversations() -> None:
    def row(*roles: str, prompt: str = "Be brief.") -> Row:
        return Row(row=0, messages=[Message(role=role, content=prompt) for role in roles], split=Split.TRAIN)

    assert shared_prompt([row("user", "assistant")]) == ""
    assert shared_prompt([row("system", "user", "assistant")] * 2) == "Be brief."
    for rows in ([row("user", "assistant", "user", "assistant")], [row("system", "user", "assistant"), row("user", "assistant")], []):
        assert shared_prompt(rows) is None
    assert shared_prompt([row("system", "user", "assistant"), row("system", "user", "assistant", prompt="Be long.")]) is None
