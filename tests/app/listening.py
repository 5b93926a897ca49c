"""An endpoint to be told: a real HTTP server that remembers what came, and answers as it is told."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


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

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            told.heard.append(Heard(self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(told.answers.pop(0) if told.answers else 204)
            self.send_header("Location", told.location)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing: tests read what came."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told.port = server.server_address[1]
    told.address = f"http://127.0.0.1:{told.port}/hook"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield told
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
