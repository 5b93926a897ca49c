from __future__ import annotations

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.web.headers import HEADERS
from tests.web.walk import part
from tools.sample_project import Sample


def test_an_unknown_address_gets_a_page_with_a_way_on(browser: TestClient) -> None:
    answer = browser.get("/nowhere")
    assert answer.status_code == 404
    assert "Not found" in answer.text
    assert 'href="/"' in answer.text


def test_an_unknown_run_is_not_found(browser: TestClient) -> None:
    assert browser.get("/runs/none").status_code == 404
    assert browser.get("/datasets/none").status_code == 404


def test_htmx_gets_a_notice_and_the_page_stays(browser: TestClient) -> None:
    answer = browser.get("/runs/none", headers=part("run_now"))
    assert answer.headers["HX-Retarget"] == "#notice"
    assert "There is no such run." in answer.text
    assert "<!doctype" not in answer.text


def test_a_wrong_method_is_said_in_words(browser: TestClient) -> None:
    answer = browser.put("/runs")
    assert answer.status_code == 405
    assert "does not take that kind of request" in answer.text


def test_an_unreadable_address_names_what_is_wrong(browser: TestClient, sample: Sample) -> None:
    answer = browser.get(f"/datasets/{sample.datasets['ready']}?after=banana")
    assert answer.status_code == 422
    assert "after:" in answer.text


def test_what_nobody_foresaw_shows_no_trace(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.web.home_view.steps", lambda *_: 1 / 0)
    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as browser:
        answer = browser.get("/")
    assert answer.status_code == 500
    assert "Something broke on our side" in answer.text
    assert "Traceback" not in answer.text
    assert "ZeroDivision" not in answer.text
    assert answer.headers["Content-Security-Policy"]


def test_every_kind_of_answer_has_the_security_headers(browser: TestClient, sample: Sample) -> None:
    addresses = ["/", "/nowhere", "/static/css/base.css", f"/runs/{sample.runs['done']}/spec.yaml", "/api/v1/runs", "/livez", "/signin"]
    for address in addresses:
        answer = browser.get(address)
        assert [name for name in HEADERS if name not in answer.headers] == [], address
    assert "unsafe" not in HEADERS["Content-Security-Policy"]
