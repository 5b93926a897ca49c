from __future__ import annotations

import pytest
from fastapi.testclient import TestClient
from starlette.datastructures import Headers

from app.web.csrf import is_allowed

OWN = "http://127.0.0.1"
UNSAFE = ["POST", "PUT", "PATCH", "DELETE"]


@pytest.mark.parametrize("method", UNSAFE)
@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "cross-site", "Origin": OWN}, False),
        ({"Origin": OWN}, True),
        ({"Origin": "http://127.0.0.1:9999"}, False),
        ({"Origin": "http://evil.example"}, False),
        ({"Origin": "null"}, False),
        ({}, True),
    ],
)
def test_only_our_own_pages_may_change_anything(method: str, headers: dict[str, str], *, allowed: bool) -> None:
    assert is_allowed(method, "/runs", Headers({"host": "127.0.0.1"} | headers)) is allowed


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x", "application/json"])
@pytest.mark.parametrize("method", UNSAFE)
@pytest.mark.parametrize("path", ["/runs", "/datasets", "/settings/keys", "/api/v1/runs", "/v1/chat/completions"])
def test_another_site_is_refused_whatever_it_sends(browser: TestClient, path: str, method: str, kind: str) -> None:
    answer = browser.request(method, path, headers={"Sec-Fetch-Site": "cross-site", "Content-Type": kind}, content=b"x")
    assert answer.status_code == 403


@pytest.mark.parametrize("path", ["/api/v1/runs", "/v1/chat/completions"])
def test_a_key_needs_no_origin(path: str) -> None:
    headers = Headers({"host": "h", "authorization": "Bearer hone_x", "sec-fetch-site": "cross-site"})
    assert is_allowed("POST", path, headers)


def test_a_key_opens_no_page_to_other_sites() -> None:
    headers = Headers({"host": "h", "authorization": "Bearer hone_x", "sec-fetch-site": "cross-site"})
    assert not is_allowed("POST", "/settings/keys", headers)


def test_looking_is_free() -> None:
    assert is_allowed("GET", "/runs", Headers({"host": "h", "sec-fetch-site": "cross-site"}))


def test_a_foreign_host_name_is_refused_even_on_this_machine(browser: TestClient) -> None:
    assert browser.get("/", headers={"Host": "evil.example"}).status_code == 400
