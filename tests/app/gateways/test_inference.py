"""Whole answers, gathered from the stream of a stand-in for the inference server."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from app.domain.errors import Invalid, StudioError, Unavailable
from app.domain.preflight import Preflight, template_fault
from app.gateways.inference import Inference, PreflightServer

HEAD = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
Asked = list[dict[str, Any]]


def chunk(index: int, text: str = "", reason: str | None = None) -> dict[str, Any]:
    return {**HEAD, "choices": [{"index": index, "delta": {"content": text}, "logprobs": None, "finish_reason": reason}], "usage": None}


def failure(kind: str, code: str | None) -> dict[str, Any]:
    return {"error": {"message": "Why.", "type": kind, "param": None, "code": code}}


COUNTED = {**HEAD, "choices": [], "usage": USAGE}


@contextmanager
def serving(*events: dict[str, Any] | str) -> Generator[tuple[str, Asked]]:
    """A server that streams these events to whoever asks, in pieces that end anywhere."""
    asked: Asked = []
    said = b"".join(b"data: " + (event if isinstance(event, str) else json.dumps(event)).encode() + b"\n\n" for event in events)

    class Streaming(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()
            for start in range(0, len(said), 50):
                self.wfile.write(said[start : start + 50])
                self.wfile.flush()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Streaming)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    thread.join()
    server.server_close()


def whole(url: str) -> dict[str, Any]:
    async def ask() -> dict[str, Any]:
        inference = Inference(url, "key")
        try:
            return await inference.chat({"model": "m", "stream": False})
        finally:
            await inference.close()

    return asyncio.run(ask())


def test_a_whole_answer_is_gathered_from_a_stream_so_that_only_silence_is_too_long() -> None:
    with serving(chunk(0), chunk(1), chunk(0, "Ja, "), chunk(1, "Nö"), chunk(0, "klar"), chunk(1, "", "stop"), chunk(0, "", "length"),
                 COUNTED, "[DONE]") as (url, asked):  # fmt: skip
        answer = whole(url)
    assert (asked[0]["stream"], asked[0]["stream_options"]) == (True, {"include_usage": True})
    assert [(choice["message"]["content"], choice["finish_reason"]) for choice in answer["choices"]] == [
        ("Ja, klar", "length"),
        ("Nö", "stop"),
    ]
    assert (answer["object"], answer["id"], answer["usage"]) == ("chat.completion", "chatcmpl-1", USAGE)


@pytest.mark.parametrize(
    ("last", "kind"),
    [
        (failure("server_error", "yielded"), Unavailable),
        (failure("invalid_request_error", "template_error"), Invalid),
        (failure("server_error", None), StudioError),
    ],
)
def test_a_failure_on_the_way_is_raised_as_what_it_is(last: dict[str, Any], kind: type[StudioError]) -> None:
    with serving(chunk(0, "Ja"), last) as (url, _), pytest.raises(StudioError, match="Why") as failed:
        whole(url)
    assert (type(failed.value), failed.value.code) == (kind, last["error"]["code"] or kind.default_code)


@pytest.mark.parametrize("said", [chunk(0, "Ja"), "<html>"])
def test_a_stream_that_breaks_off_or_is_none_is_no_answer(said: dict[str, Any] | str) -> None:
    with serving(said) as (url, _), pytest.raises(Unavailable, match="does not answer"):
        whole(url)


def test_a_model_is_answering_from_the_question_to_the_end_however_that_comes() -> None:
    async def look() -> list[bool]:
        inference = Inference(address, None)
        seen = [inference.is_answering("m")]
        pieces = inference.stream({"model": "m"})
        await anext(pieces)
        seen += [inference.is_answering("m"), inference.is_answering("other")]
        await pieces.aclose()  # whoever asked has gone
        seen.append(inference.is_answering("m"))
        async for _ in inference.stream({"model": "m"}):
            pass
        await inference.close()
        return [*seen, inference.is_answering("m")]

    with serving(chunk(0, "a"), "[DONE]") as (address, _):
        assert asyncio.run(look()) == [False, True, False, False, False]


@contextmanager
def answering(status: int, said: bytes) -> Generator[str]:
    """A server that answers this to whatever is sent."""

    class Answering(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Answering)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_what_was_found_in_rows_comes_back_as_it_was() -> None:
    found = Preflight.of_no_row(template_fault("No."), total=7, max_length=16)
    with answering(200, found.model_dump_json().encode()) as url:
        assert PreflightServer(url, "key").look(b"{}") == found


@pytest.mark.parametrize(
    ("status", "said", "kind"),
    [
        (400, json.dumps(failure("invalid_request_error", "unknown_model")).encode(), Invalid),
        (200, b'{"of": "another version"}', Unavailable),
        (200, b"no JSON", Unavailable),
        (503, json.dumps(failure("server_error", "unavailable")).encode(), Unavailable),
    ],
)
def test_rows_that_could_not_be_looked_at_are_told(status: int, said: bytes, kind: type[StudioError]) -> None:
    with answering(status, said) as url, pytest.raises(kind):
        PreflightServer(url, "key").look(b"{}")


@pytest.mark.parametrize("url", [None, "http://127.0.0.1:1"])
def test_without_a_server_nobody_looks(url: str | None) -> None:
    with pytest.raises(Unavailable):
        PreflightServer(url, "key").look(b"{}")
