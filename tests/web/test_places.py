"""Settings, chat, workers, the API's page: the pages beside the way."""

from __future__ import annotations

import re

import pytest
from fastapi.testclient import TestClient

from app.web.routes import chat
from tests.web.walk import part
from tools.sample_project import Sample


def test_a_new_key_is_shown_once(browser: TestClient) -> None:
    made = browser.post("/settings/keys", data={"name": "laptop"})
    assert made.status_code == 201
    secret = re.search(r"hone_[A-Za-z0-9]{48}", made.text)
    assert secret
    again = browser.get("/settings").text
    assert "laptop" in again
    assert secret[0] not in again
    assert browser.get("/api/v1/runs", headers={"Authorization": f"Bearer {secret[0]}"}).status_code == 200


def test_a_key_wants_a_name(browser: TestClient) -> None:
    answer = browser.post("/settings/keys", data={"name": " "})
    assert answer.status_code == 422
    assert 'id="name-error"' in answer.text


def test_a_revoked_key_opens_nothing(browser: TestClient) -> None:
    secret = re.search(r"hone_[A-Za-z0-9]{48}", browser.post("/settings/keys", data={"name": "old"}).text)
    assert secret
    revoke = re.search(r"/settings/keys/[\w-]+/revoke", browser.get("/settings").text)
    assert revoke
    assert browser.post(revoke[0]).status_code == 303
    assert browser.get("/api/v1/runs", headers={"Authorization": f"Bearer {secret[0]}"}).status_code == 401
    assert "revoked" in browser.get("/settings").text


def test_the_settings_tell_what_this_studio_is(browser: TestClient) -> None:
    page = browser.get("/settings").text
    assert "SQLite, journal mode" in page
    assert "only webhooks and outside models that somebody added" in page


def test_the_chat_says_when_nobody_answers(browser: TestClient, sample: Sample) -> None:
    page = browser.get("/chat").text
    assert "no inference server" in page
    assert f'<option value="{sample.model}" selected>' in page
    answer = browser.post("/chat/answers", json={"model": "hone-starter", "messages": [{"role": "user", "content": "hi"}], "stream": True})
    assert answer.status_code == 503
    assert "no inference server" in answer.json()["message"]


def test_the_chat_offers_held_out_rows_and_the_prompt_the_model_knows(browser: TestClient) -> None:
    page = browser.get("/chat").text
    assert "Sort the e-mail. Answer with JSON: intent, urgency.</textarea>" in page
    assert "data-expected=" in page


def test_another_tuned_model_has_an_address_of_its_own(browser: TestClient, sample: Sample) -> None:
    page = browser.get("/chat", params={"tuned": "hone-starter"}).text
    assert page.count('<option value="hone-starter" selected>') == 2
    assert "data-expected=" not in page
    assert f'<option value="{sample.model}" selected>' in browser.get("/chat", params={"tuned": "gone"}).text


def test_asking_how_the_inference_server_is_reads_no_rows(browser: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat, "_examples", None)
    assert "no inference server" in browser.get("/chat", headers=part("chat_state")).text


def test_an_unknown_model_answers_nothing(browser: TestClient) -> None:
    answer = browser.post("/chat/answers", json={"model": "gpt", "messages": [{"role": "user", "content": "hi"}]})
    assert (answer.status_code, "does not exist" in answer.json()["message"]) == (404, True)


def test_memory_left_to_a_run_is_said_in_words() -> None:
    state = chat._in_words({"yielded_to": {"device": "cuda:0", "run": "emails"}, "device": "cuda:0", "loaded": None})
    assert "The GPU is training emails" in state.text
    assert chat._in_words({"yielded_to": None, "device": "cpu", "loaded": "/models/hone-starter"}).text.endswith(
        "hone-starter is in memory."
    )


def test_the_api_page_asks_for_no_key_and_loads_from_here(stranger: TestClient) -> None:
    page = stranger.get("/docs").text
    assert "/static/vendor/swagger-ui-bundle.js" in page
    assert not re.search(r'(?:src|href)="(?:https?:)?//', page)


@pytest.mark.parametrize(
    ("page", "leads_to"),
    [("/goal", "/cloud-costs"), ("/prices", "/cloud-costs"), ("/prices", "/estimates"), ("/models", "/precision")],
)
def test_pages_lead_to_what_is_asked_next(browser: TestClient, page: str, leads_to: str) -> None:
    shown = browser.get(page).text.partition("<main")[2]
    assert f'href="{leads_to}"' in shown
