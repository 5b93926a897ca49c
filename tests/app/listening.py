"""An endpoint to be told: a real HTTP server that remembers what came, and answers as it is told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

from tests.serving import Quiet, serving


@dataclass
class Heard:
    """One request."""

    path: str
    headers: dict[str, str]
    body: str


@dataclass
class Endpoint:
    """What came, and what is answered: the statuses in turn, then 204."""

    heard: list[Heard] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    address: str = ""
    port: int = 0
    location: str = "/elsewhere"


@contextmanager
def endpoint() -> Iterator[Endpoint]:
    """Listen on a free port of this machine."""
    told = Endpoint()

    class Handler(Quiet, BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            told.heard.append(Heard(self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(told.answers.pop(0) if told.answers else 204)
            self.send_header("Location", told.location)
            self.end_headers()

    with serving(Handler) as told.port:
        told.address = f"http://127.0.0.1:{told.port}/hook"
        yield told
