"""Every request can be found again: by the id on its answer, in the words of a failure and in the log."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from fastapi import FastAPI
from fastapi.testclient import TestClient
from structlog.testing import capture_logs

from app.config import Settings
from app.launcher import prepare
from app.main import create_app
from app.web.request_log import HEADER


@pytest.fixture(params=["", "/hone"], ids=["root", "under"])
def app(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FastAPI]:
    settings = Settings(home=tmp_path, workers=False, root_path=request.param)
    prepare(settings)
    made = create_app(settings)
    yield made
    made.state.studio.engine.dispose()


@pytest.fixture
def client(app: FastAPI) -> TestClient:
    return TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)


@pytest.fixture
def lines() -> Iterator[list[dict[str, object]]]:
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as entries:
        yield entries  # type: ignore[misc]


def test_an_answer_has_the_id_of_its_line(client: TestClient, lines: list[dict[str, object]]) -> None:
    answer = client.get("/api/v1/runs?name=private", headers={HEADER: "from-a-proxy.1"})
    assert answer.headers[HEADER] == "from-a-proxy.1"
    (line,) = lines
    assert line.pop("seconds") >= 0  # type: ignore[operator]
    assert line == {
        "event": "answered", "log_level": "info", "request": "from-a-proxy.1", "method": "GET", "path": "/api/v1/runs", "status": 401,
    }  # fmt: skip


@pytest.mark.parametrize("given", ["", "short", "x" * 65, 'quote"d-and-long', "line\tbreaks-here", "ümlauts-are-out"])
def test_an_id_that_would_spoil_the_log_is_not_taken_over(client: TestClient, given: str) -> None:
    first, second = (client.get("/livez", headers={HEADER.encode(): given.encode()}).headers[HEADER] for _ in range(2))
    assert len(first) == 36
    assert first != second


def test_what_machines_ask_for_all_the_time_leaves_no_lines(client: TestClient, lines: list[dict[str, object]]) -> None:
    client.get("/livez")
    client.get("/static/css/base.css")
    assert lines == []
    client.get("/static/nothing.css")
    assert [line["status"] for line in lines] == [404]


@pytest.mark.parametrize("path", ["/", "/api/v1/runs"])
def test_a_failure_names_the_id_that_its_traceback_is_logged_under(
    client: TestClient, lines: list[dict[str, object]], monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr("app.api.dependencies.Accounts.by_key", lambda *_: 1 / 0)
    monkeypatch.setattr("app.web.home_view.steps", lambda *_: 1 / 0)
    answer = client.get(path, headers={HEADER: "asked-by-somebody", "Authorization": "Bearer x"})
    assert answer.status_code == 500
    assert answer.headers[HEADER] == "asked-by-somebody"
    assert "asked-by-somebody" in answer.text
    assert [line["request"] for line in lines if "exc_info" in line] == ["asked-by-somebody"]
