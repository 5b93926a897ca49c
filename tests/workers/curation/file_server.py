"""A server of one file that behaves as badly as it is told: it cuts, packs, redirects, changes its file, and sends for ever."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

from tests.serving import Quiet, serving

ENDLESS = b"x" * 65536


@dataclass
class FileServer:
    """What is served, how, and what was asked for."""

    content: bytes = b'{"text": "Hello."}\n'
    headers: dict[str, str] = field(default_factory=dict)
    has_etag: bool = True
    statuses: list[int] = field(default_factory=list)
    """Statuses of the next answers; then 200 or 206."""
    cuts: list[int] = field(default_factory=list)
    """After how many bytes the next answers break off."""
    is_endless: bool = False
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    port: int = 0

    @property
    def address(self) -> str:
        """Where the file lies."""
        return f"http://127.0.0.1:{self.port}/files/rows.jsonl"

    @property
    def ranges(self) -> list[str]:
        """What parts were asked for."""
        return [headers.get("range", "") for _, headers in self.asked]


class _Handler(Quiet, BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    told: FileServer

    def do_GET(self) -> None:
        told = self.told
        told.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        if told.statuses:
            self._begin(told.statuses.pop(0), {"Content-Length": "0"} | told.headers)
            return
        if told.is_endless:
            self._begin(200, told.headers)
            self.close_connection = True
            with suppress(OSError):
                while True:
                    self.wfile.write(ENDLESS)
        etag = f'"{hashlib.sha256(told.content).hexdigest()}"'
        wanted = self.headers.get("Range", "") if self.headers.get("If-Range") == etag else ""
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        place = {"Content-Range": f"bytes {start}-{len(told.content) - 1}/{len(told.content)}"} if wanted else {}
        marks = {"ETag": etag} if told.has_etag else {}
        self._begin(206 if wanted else 200, {"Content-Length": str(len(told.content) - start)} | marks | place | told.headers)
        cut = told.cuts.pop(0) if told.cuts else len(told.content)
        self.close_connection = cut < len(told.content)
        self.wfile.write(told.content[start : start + cut])

    def _begin(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()


@contextmanager
def file_server() -> Iterator[FileServer]:
    """Listen on a free port of this machine."""
    told = FileServer()
    with serving(type("Handler", (_Handler,), {"told": told})) as told.port:
        yield told
