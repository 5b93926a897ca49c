from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.config import Settings
from app.launcher import prepare
from app.main import create_app

UNSAFE = ["POST", "PUT", "PATCH", "DELETE"]
CROSS_SITE: list[dict[str, str]] = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Origin": "https://elsewhere.example"},
    {"Origin": "null"},
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    settings = Settings(home=tmp_path_factory.mktemp("home"), workers=False)
    prepare(settings)
    with TestClient(create_app(settings), base_url="http://127.0.0.1:8000", follow_redirects=False) as client:
        yield client


@pytest.mark.parametrize("path", ["/runs", "/datasets", "/settings", "/api/v1/runs", "/v1/chat/completions"])
@pytest.mark.parametrize("headers", CROSS_SITE, ids=str)
@pytest.mark.parametrize("method", UNSAFE)
def test_what_another_site_caused_is_refused(browser: TestClient, method: str, headers: dict[str, str], path: str) -> None:
    assert browser.request(method, path, headers=headers).status_code == 403


@pytest.mark.parametrize(
    "headers", [{"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}, {"Origin": "http://127.0.0.1:8000"}, {}]
)
def test_what_its_own_pages_ask_is_not(browser: TestClient, headers: dict[str, str]) -> None:
    assert browser.post("/runs", headers=headers).status_code == 422


def test_a_key_cannot_be_sent_by_another_site_so_it_decides_alone(browser: TestClient) -> None:
    answer = browser.post("/api/v1/runs", headers={"Origin": "https://elsewhere.example", "Authorization": "Bearer wrong"})
    assert answer.status_code == 401


@pytest.mark.parametrize("host", ["elsewhere.example", "127.0.0.1.elsewhere.example:8000", "elsewhere.example@127.0.0.1"])
def test_a_name_that_was_pointed_here_is_not_answered(browser: TestClient, host: str) -> None:
    assert browser.get("/", headers={"Host": host}).status_code == 400


@pytest.mark.parametrize("path", ["/", "/nowhere", "/livez", "/api/v1/runs", "/static/css/tokens.css", "/docs"])
def test_every_answer_says_what_a_browser_may_do_with_it(browser: TestClient, path: str) -> None:
    headers = browser.get(path).headers
    policy = headers["content-security-policy"]
    assert "unsafe-inline" not in policy
    assert "unsafe-eval" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff"


def test_a_page_loads_nothing_from_elsewhere(browser: TestClient, root: Path) -> None:
    pages = [
        browser.get(path).text for path in ("/", "/datasets", "/runs", "/runs/new", "/board", "/chat", "/workers", "/settings", "/docs")
    ]
    assert not [page for page in pages if 'src="http' in page or 'href="http' in page or "<style" in page or "onclick=" in page]
