"""A model behind the OpenAI protocol that answers as it is told: rightly, slowly, not at all."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.serving import Quiet, serving

KEY = "sk-canary-0123456789abcdef"


@dataclass
class OpenAi:
    """What is answered, what goes wrong first, and what was asked."""

    answer: Callable[[list[dict[str, str]]], str] = lambda messages: messages[-1]["content"]
    troubles: list[tuple[int, dict[str, Any], dict[str, str]]] = field(default_factory=list)
    """Statuses, bodies and headers of the next answers; 0 breaks the connection midway."""
    key: str | None = None
    longest: int | None = None
    """Prompts of more letters do not fit its context."""
    together: threading.Barrier | None = None
    """So many requests are answered when all of them are there; it fails with BrokenBarrierError, and the connection with it."""
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    port: int = 0

    @property
    def address(self) -> str:
        """Where its endpoints begin."""
        return f"http://127.0.0.1:{self.port}/v1"


class _Handler(Quiet, BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    told: OpenAi

    def do_POST(self) -> None:
        told, body = self.told, json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        told.asked.append(body)
        told.headers.append({name.lower(): value for name, value in self.headers.items()})
        if told.together:
            told.together.wait(60)
        if told.troubles:
            status, refusal, headers = told.troubles.pop(0)
            if not status:
                self._break_off()
                return
            self._send(status, refusal, headers)
        elif told.key and self.headers.get("Authorization") != f"Bearer {told.key}":
            self._send(401, _error(f"Incorrect API key provided: {(self.headers.get('Authorization') or '')[7:]}."))
        elif told.longest and sum(len(turn["content"]) for turn in body["messages"]) > told.longest:
            self._send(400, _error("The messages are too long.", code="context_length_exceeded"))
        else:
            self._send(200, _completion(told.answer(body["messages"]), body))

    def _send(self, status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(content)), "Content-Type": "application/json"} | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def _break_off(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b'{"choices": [')
        self.close_connection = True


def _error(message: str, *, code: str | None = None, param: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}}


def _completion(text: str, body: dict[str, Any]) -> dict[str, Any]:
    limit = body.get("max_tokens") or body.get("max_completion_tokens") or 1000
    words = text.split(" ")
    choice = {"index": 0, "message": {"role": "assistant", "content": " ".join(words[:limit])}}
    usage = {"prompt_tokens": sum(len(turn["content"].split()) for turn in body["messages"]), "completion_tokens": min(limit, len(words))}
    return {"choices": [choice | {"finish_reason": "length" if len(words) > limit else "stop"}], "usage": usage}


def trouble(status: int, message: str = "Not now.", *, code: str | None = None, param: str | None = None, **headers: str) -> Any:
    """Return an answer that is a refusal."""
    return status, _error(message, code=code, param=param), {name.replace("_", "-"): value for name, value in headers.items()}


@contextmanager
def openai_server() -> Iterator[OpenAi]:
    """Serve it for the time of a with block."""
    told = OpenAi()
    with serving(type("Told", (_Handler,), {"told": told})) as port:
        told.port = port
        yield told
