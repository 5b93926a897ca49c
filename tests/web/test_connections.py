"""Connections on the settings page: a token and outside models go in, show their ends, and go; no key is ever on a page."""

from __future__ import annotations

import re

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from tests.web.conftest import LOOPBACK
from tests.web.walk import part

TOKEN, KEY = "hf_canary_right_9f3c", "sk-canary-of-a-key-77aa"
MODEL = {"name": "the large one", "url": "https://api.example.com/v1", "model": "large", "key": KEY}


@pytest.fixture
def browser(app: FastAPI) -> TestClient:
    return TestClient(app, base_url=LOOPBACK, follow_redirects=False)


@pytest.mark.parametrize("fragment", [False, True], ids=["without htmx", "with htmx"])
def test_a_token_is_stored_replaced_and_forgotten(browser: TestClient, fragment: bool) -> None:  # noqa: FBT001 - two ways
    headers = part("connections") if fragment else {}
    for action, fields, words in (
        ("hub", {"token": TOKEN}, "ends in <code>9f3c</code>"),
        ("hub", {"token": "hf_another_one_1234"}, "ends in <code>1234</code>"),
        ("hub/remove", {}, "gives what everybody may have"),
    ):
        answer = browser.post(f"/connections/{action}", data=fields, headers=headers)
        assert answer.status_code == (200 if fragment else 303)
        shown = answer.text if fragment else browser.get("/settings").text
        assert words in shown
        assert "canary" not in answer.text + shown


@pytest.mark.parametrize("fragment", [False, True], ids=["without htmx", "with htmx"])
def test_an_outside_model_is_added_and_forgotten(browser: TestClient, fragment: bool) -> None:  # noqa: FBT001 - two ways
    headers = part("connections") if fragment else {}
    added = browser.post("/connections/models", data=MODEL, headers=headers)
    assert added.status_code == (200 if fragment else 303)
    page = browser.get("/settings").text
    assert "https://api.example.com/v1" in page
    assert "<code>…77aa</code>" in page
    assert "canary" not in page
    [address] = re.findall(r'action="(/connections/models/[0-9a-f-]{36}/remove)"', page)
    assert browser.post(address, headers=headers).status_code == (200 if fragment else 303)
    assert browser.post(address).status_code == 404
    assert "api.example.com" not in re.findall(r'<td class="mono wide">[^<]*', browser.get("/settings").text)


@pytest.mark.parametrize(
    ("where", "fields", "field"),
    [
        ("hub", {"token": f"{TOKEN} x"}, "token"),
        ("hub", {}, "token"),
        ("models", MODEL | {"url": "example.com"}, "url"),
        ("models", MODEL | {"url": "http://169.254.169.254/v1"}, "url"),
        ("models", MODEL | {"name": ""}, "name"),
        ("models", MODEL | {"key": f"{KEY} x"}, "key"),
    ],
)
def test_what_is_wrong_stands_beside_its_field_and_no_key_is_repeated(
    browser: TestClient, where: str, fields: dict[str, str], field: str
) -> None:
    answer = browser.post(f"/connections/{where}", data=fields)
    assert answer.status_code == 422
    assert f'id="{field}-error"' in answer.text
    assert "canary" not in answer.text
    if where == "models" and field != "name":
        assert 'value="the large one"' in answer.text


def test_a_stranger_is_sent_to_sign_in(stranger: TestClient) -> None:
    assert stranger.post("/connections/hub", data={"token": TOKEN}).headers["Location"].startswith("/signin")
