from __future__ import annotations

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.db.session import unit_of_work
from app.services.accounts import Accounts
from tests.web.walk import all_pages, part
from tools.sample_project import Sample


def key_for(app: FastAPI) -> tuple[str, str]:
    with unit_of_work(app.state.studio.engine) as session:
        accounts = Accounts(session)
        key, secret = accounts.create_key(accounts.ensure_owner(), "test")
        return key.id, secret


def app_of(client: TestClient) -> FastAPI:
    assert isinstance(client.app, FastAPI)
    return client.app


def test_a_stranger_is_asked_to_sign_in_on_every_page(stranger: TestClient, sample: Sample) -> None:
    for address in [*all_pages(sample), f"/runs/{sample.runs['done']}/log"]:
        answer = stranger.get(address)
        assert answer.status_code == 303, address
        assert answer.headers["Location"].startswith("/signin"), address


def test_a_stranger_can_change_nothing(stranger: TestClient, sample: Sample) -> None:
    posts = ["/runs", "/settings/keys", f"/runs/{sample.runs['running']}/cancel", f"/datasets/{sample.datasets['ready']}/delete"]
    for address in posts:
        assert stranger.post(address, data={"name": "x"}).headers["Location"].startswith("/signin"), address
    assert stranger.post("/datasets", files={"file": ("a.jsonl", b"{}")}).headers["Location"].startswith("/signin")
    assert stranger.post("/chat/answers", json={"model": "m", "messages": [{"role": "user", "content": "x"}]}).status_code == 303


def test_a_strangers_stream_is_refused_so_that_it_is_not_asked_for_again(stranger: TestClient) -> None:
    answer = stranger.get("/live?topics=runs", headers=part("live"))
    assert (answer.status_code, answer.content) == (401, b"")
    assert "HX-Redirect" not in answer.headers


def test_htmx_is_sent_there_as_a_whole_page(stranger: TestClient) -> None:
    shown = {"HX-Current-URL": "http://studio.example/runs?after=7#top"}
    answer = stranger.get("/runs/x", headers=part("run_now") | shown)
    assert (answer.status_code, answer.headers["HX-Redirect"]) == (204, "/signin?next=/runs%3Fafter%3D7")


@pytest.mark.parametrize(
    ("method", "address", "headers", "then"),
    [
        ("GET", "/runs/new?preset=quick", {}, "/runs/new%3Fpreset%3Dquick"),
        ("POST", "/runs/x/pause", {"Referer": "http://studio.example/runs/x"}, "/runs/x"),
        ("POST", "/runs/x/pause", {"Referer": "http://evil.example/runs/x"}, "/"),
        ("POST", "/runs/x/pause", {"Referer": "http://studio.example//evil.example"}, "/"),
        ("POST", "/runs/x/pause", {}, "/"),
    ],
)
def test_signing_in_leads_back_to_the_page_one_was_on(
    stranger: TestClient, method: str, address: str, headers: dict[str, str], then: str
) -> None:
    assert stranger.request(method, address, headers=headers).headers["Location"] == f"/signin?next={then}"


def test_a_key_signs_in_and_out(stranger: TestClient) -> None:
    _, secret = key_for(app_of(stranger))
    answer = stranger.post("/signin", data={"key": f" {secret}\n", "next": "/board"})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/board")
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("hone_session=")
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Board" in stranger.get("/board").text
    assert stranger.post("/signout").headers["Location"] == "/signin"
    assert stranger.get("/board").status_code == 303


def test_behind_https_the_cookie_belongs_to_this_host_alone(stranger: TestClient) -> None:
    _, secret = key_for(app_of(stranger))
    cookie = stranger.post("https://studio.example/signin", data={"key": secret}).headers["Set-Cookie"]
    assert cookie.startswith("__Host-hone_session=")
    assert "Secure" in cookie
    assert "Path=/" in cookie


def test_a_revoked_key_shuts_its_browsers_out(stranger: TestClient) -> None:
    key_id, secret = key_for(app_of(stranger))
    stranger.post("/signin", data={"key": secret})
    with unit_of_work(app_of(stranger).state.studio.engine) as session:
        accounts = Accounts(session)
        accounts.revoke_key(accounts.ensure_owner(), key_id)
    assert stranger.get("/").status_code == 303


def test_a_wrong_key_is_refused_in_words(stranger: TestClient) -> None:
    answer = stranger.post("/signin", data={"key": "hone_wrong"})
    assert answer.status_code == 401
    assert "not valid" in answer.text
    assert "hone_wrong" not in answer.text


@pytest.mark.parametrize("destination", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)", "/a\nb", ""])
def test_signing_in_leads_nowhere_else(stranger: TestClient, destination: str) -> None:
    _, secret = key_for(app_of(stranger))
    assert stranger.post("/signin", data={"key": secret, "next": destination}).headers["Location"] == "/"


def test_an_open_connection_is_warned_of(stranger: TestClient) -> None:
    assert "not encrypted" in stranger.get("/signin").text


def test_on_this_machine_nobody_needs_to_sign_in(browser: TestClient) -> None:
    assert "the local owner" in browser.get("/settings").text
