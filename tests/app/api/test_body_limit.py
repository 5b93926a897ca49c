"""No body is read whole before it is known to be small, with or without a key, announced or streamed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from app.api.body_limit import MAX_BODY_BYTES, BodyLimit
from app.config import Settings
from app.launcher import prepare
from app.main import create_app

PIECE = b" " * 1024 * 1024
LONG = MAX_BODY_BYTES // len(PIECE) + 4


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    settings = Settings(home=tmp_path, workers=False)
    prepare(settings)
    app = create_app(settings)
    yield TestClient(app, base_url="http://127.0.0.1", follow_redirects=False)
    app.state.studio.engine.dispose()


def pieces(count: int) -> Iterator[bytes]:
    for _ in range(count):
        yield PIECE


@pytest.mark.parametrize("path", ["/api/v1/runs", "/v1/chat/completions"])
@pytest.mark.parametrize("body", [PIECE * LONG, "streamed"], ids=["announced", "streamed"])
def test_programs_are_told_in_their_shape(client: TestClient, path: str, body: bytes | str) -> None:
    answer = client.post(path, content=body if isinstance(body, bytes) else pieces(LONG), headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")
    assert "x-frame-options" in answer.headers


@pytest.mark.parametrize("body", [PIECE * LONG, "streamed"], ids=["announced", "streamed"])
def test_browsers_are_told_on_a_page(client: TestClient, body: bytes | str) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = client.post("/runs", content=body if isinstance(body, bytes) else pieces(LONG), headers=form)
    assert answer.status_code == 413
    assert "Too large" in answer.text


def test_an_upload_has_a_bound_of_its_own_and_wants_a_key_first(client: TestClient) -> None:
    assert client.post("/api/v1/datasets", content=pieces(LONG)).status_code == 401
    browser = {"Content-Type": "multipart/form-data; boundary=x"}
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\na,b\r\n'
    answer = client.post("/datasets", content=iter([head, *(b"q,r\n" * 2**18,) * LONG, b"\r\n--x--\r\n"]), headers=browser)
    assert answer.status_code == 303


def test_reading_stops_at_the_bound() -> None:
    held: list[int] = []

    async def reader(scope: Scope, receive: Receive, send: Send) -> None:
        whole = b""
        async for piece in Request(scope, receive).stream():
            whole += piece
            held.append(len(whole))

    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        held.append(-1)

    async def sender() -> Message:
        left.pop()
        return {"type": "http.request", "body": PIECE, "more_body": bool(left)}

    async def nobody(message: Message) -> None:
        raise AssertionError(message)

    left = [0] * LONG
    asyncio.run(BodyLimit(reader, refuse)({"type": "http", "method": "POST", "path": "/runs", "headers": []}, sender, nobody))
    assert (max(held), held[-1], left) == (MAX_BODY_BYTES, -1, [])


def test_what_is_small_passes(client: TestClient) -> None:
    assert client.post("/api/v1/runs", content=pieces(2), headers={"Content-Type": "application/json"}).status_code in {401, 422}
