"""A studio that a reverse proxy serves to others: strangers sign in, and https is seen where the proxy is believed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.types import ASGIApp

from app.config import Settings
from app.db.session import unit_of_work
from app.launcher import prepare
from app.main import create_app, server_config
from app.services.accounts import Accounts

NAME = "hone.example.com"
FORWARDED = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.7"}


@pytest.fixture
def app(tmp_path: Path) -> Iterator[FastAPI]:
    """A studio on this machine with a name for others."""
    settings = Settings(home=tmp_path, allowed_hosts=NAME)
    prepare(settings)
    made = create_app(settings)
    yield made
    made.state.studio.engine.dispose()


def sign_in(app: FastAPI, proxies: str) -> str:
    with unit_of_work(app.state.studio.engine) as session:
        accounts = Accounts(session)
        _, key = accounts.create_key(accounts.ensure_owner(), "somebody")
    config = server_config(app, Settings(trusted_proxies=proxies))
    config.load()
    served = TestClient(cast("ASGIApp", config.loaded_app), f"http://{NAME}", follow_redirects=False, client=("127.0.0.1", 50000))
    answer = served.post("/signin", data={"key": key}, headers=FORWARDED)
    assert answer.status_code == 303
    return answer.headers["set-cookie"]


@pytest.mark.parametrize("name", [NAME, "127.0.0.1"])
def test_a_stranger_has_to_sign_in(app: FastAPI, name: str) -> None:
    stranger = TestClient(app, f"http://{name}", follow_redirects=False)
    answer = stranger.get("/datasets")
    assert (answer.status_code, answer.headers["location"]) == (303, "/signin?next=/datasets")


def test_the_word_of_a_trusted_proxy_makes_the_cookie_secure(app: FastAPI) -> None:
    cookie = sign_in(app, "127.0.0.1")
    assert cookie.startswith("__Host-hone_session=")
    assert "Secure" in cookie


def test_anybody_else_is_not_believed(app: FastAPI) -> None:
    assert sign_in(app, "").startswith("hone_session=")
    assert sign_in(app, "192.0.2.1").startswith("hone_session=")


@pytest.mark.parametrize("proxies", ["", "127.0.0.1"])
def test_hosts_and_prefixes_that_are_forwarded_are_believed_from_nobody(app: FastAPI, proxies: str) -> None:
    config = server_config(app, Settings(trusted_proxies=proxies))
    config.load()
    told = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Prefix": "/evil", "Forwarded": "host=evil.example"}
    served = TestClient(cast("ASGIApp", config.loaded_app), f"http://{NAME}", follow_redirects=False, client=("127.0.0.1", 50000))
    assert served.get("/datasets/", headers=told).headers["location"] == f"http://{NAME}/datasets"
    assert served.get("/datasets", headers=told).headers["location"] == "/signin?next=/datasets"


def examples(kind: str) -> list[str]:
    page = (Path(__file__).parents[3] / "docs" / "operating.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{kind}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("needed", [
    "proxy_pass http://127.0.0.1:8000;", "proxy_set_header Host $http_host;", "proxy_set_header X-Forwarded-Proto $scheme;",
    "proxy_set_header X-Forwarded-For $remote_addr;", "proxy_buffering off;", "proxy_request_buffering off;", "proxy_http_version 1.1;",
    "proxy_read_timeout 1h;", "client_max_body_size 20g;",
])  # fmt: skip
def test_the_example_for_nginx_says_all_it_must(needed: str) -> None:
    [example] = examples("nginx")
    assert needed in example
    assert Settings().max_upload_bytes == 20 * 2**30  # as the example's bound


def test_the_examples_for_caddy_stream() -> None:
    plain, under = examples("caddyfile")
    assert "flush_interval -1" in plain
    assert "flush_interval -1" in under
    assert "handle_path /hone/*" in under
