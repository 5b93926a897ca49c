"""Webhooks on the settings page: added, tried, switched and deleted without scripts, and what a person is told."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import update

from app.db import Webhook, WebhookDelivery
from app.db.session import unit_of_work
from app.services.studio import Studio
from tests.app.listening import Endpoint, endpoint
from tests.waiting import until
from tests.web.conftest import LOOPBACK
from tests.web.walk import part

TICKED = {"run.succeeded": "on", "run.failed": "on"}
URL = "https://example.com/hooks/hone"


@pytest.fixture
def quiet(app: FastAPI) -> TestClient:
    """A browser on a studio that sends nothing while a test looks."""
    return TestClient(app, base_url=LOOPBACK, follow_redirects=False)


def added(browser: TestClient, url: str = URL) -> str:
    browser.post("/settings/webhooks", data={"url": url} | TICKED)
    found = re.search(r"/settings/webhooks/([0-9a-f-]{36})/test", browser.get("/settings").text)
    assert found
    return found[1]


def test_the_secret_is_on_the_answer_that_made_it_and_nowhere_after(quiet: TestClient) -> None:
    made = quiet.post("/settings/webhooks", data={"url": URL} | TICKED)
    assert made.status_code == 201
    assert "whsec_" in made.text
    page = quiet.get("/settings").text
    assert "whsec_" not in page
    assert URL in page
    assert "done, failed" in page


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"url": "example.com"}, "whole address"),
        ({"url": "https://192.168.1.4/"}, "HONE_WEBHOOK_PRIVATE=true"),
        ({}, "whole address"),
    ],
)
def test_what_is_wrong_stands_beside_the_field_with_what_was_typed(quiet: TestClient, fields: dict[str, str], says: str) -> None:
    answer = quiet.post("/settings/webhooks", data=fields | TICKED)
    assert answer.status_code == 422
    assert 'id="url-error"' in answer.text
    assert says in answer.text
    assert f'value="{fields.get("url", "")}"' in answer.text
    assert 'name="run.cancelled">' in answer.text


def test_no_event_is_an_error_of_its_own_field(quiet: TestClient) -> None:
    answer = quiet.post("/settings/webhooks", data={"url": URL})
    assert answer.status_code == 422
    assert 'id="events-error"' in answer.text


@pytest.mark.parametrize("fragment", [False, True])
def test_every_action_works_with_and_without_scripts(quiet: TestClient, fragment: bool) -> None:  # noqa: FBT001 - two ways
    webhook_id = added(quiet)
    headers = part("webhooks") if fragment else {}
    said = {"test": "Sending", "disable": "Switched off.", "enable": "Switch off", "delete": "Nobody is told yet"}
    for action, words in said.items():
        answer = quiet.post(f"/settings/webhooks/{webhook_id}/{action}", headers=headers)
        assert answer.status_code == (200 if fragment else 303)
        assert words in (answer.text if fragment else quiet.get("/settings").text), action
    assert quiet.post(f"/settings/webhooks/{webhook_id}/test").status_code == 404


def test_a_new_secret_is_shown_once(quiet: TestClient) -> None:
    answer = quiet.post(f"/settings/webhooks/{added(quiet)}/secret")
    assert answer.status_code == 200
    assert "whsec_" in answer.text
    assert "For 24 hours" in answer.text


def test_a_stranger_is_sent_to_sign_in(stranger: TestClient) -> None:
    assert stranger.post("/settings/webhooks", data={"url": URL}).headers["Location"].startswith("/signin")


def test_an_endpoint_that_hone_switched_off_says_why(quiet: TestClient, studio: Studio) -> None:
    added(quiet)
    with unit_of_work(studio.engine) as session:
        session.execute(update(Webhook).values(enabled=False, disabled_reason="Nothing could be delivered for three days."))
    assert "Hone switched this off. Nothing could be delivered for three days." in quiet.get("/settings").text
    assert "The webhook to example.com was switched off: Nothing could be delivered" in quiet.get("/").text


@pytest.mark.parametrize(
    ("status", "error", "word"), [("waiting", "It answered 500.", "Trying again"), ("failed", "It answered 500.", "Given up")]
)
def test_what_became_of_the_last_message_is_told(quiet: TestClient, studio: Studio, status: str, error: str, word: str) -> None:
    quiet.post(f"/settings/webhooks/{added(quiet)}/test")
    with unit_of_work(studio.engine) as session:
        session.execute(update(WebhookDelivery).values(status=status, error=error, attempt=3))
    page = quiet.get("/settings").text
    assert word in page
    assert error in page
    assert "try 3" in page
    assert "See whether it arrived" not in page


@pytest.fixture
def told() -> Iterator[Endpoint]:
    with endpoint() as listening:
        yield listening


def test_the_running_studio_sends_by_itself(make_app: Callable[..., FastAPI], told: Endpoint) -> None:
    with TestClient(make_app(webhook_private=True), base_url=LOOPBACK, follow_redirects=False) as browser:
        webhook_id = added(browser, told.address)
        browser.post(f"/settings/webhooks/{webhook_id}/test")
        until(lambda: "Taken" in browser.get("/settings", headers=part("webhooks")).text)
    assert [heard.headers["webhook-id"] for heard in told.heard]


def test_nothing_of_a_webhook_is_logged_but_ids(
    make_app: Callable[..., FastAPI], told: Endpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    with TestClient(make_app(webhook_private=True), base_url=LOOPBACK, follow_redirects=False) as browser:
        answer = browser.post("/settings/webhooks", data={"url": f"{told.address}?token=canary"} | TICKED)
        secret = re.search(r"whsec_[\w+/=]+", answer.text)
        assert secret
        browser.post(f"/settings/webhooks/{added(browser, told.address)}/test")
        until(lambda: "Taken" in browser.get("/settings").text)
    logged = "".join(capsys.readouterr())
    assert "a notice was sent" in logged
    assert "canary" not in logged
    assert secret[0] not in logged
