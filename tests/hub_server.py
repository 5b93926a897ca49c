"""A stand-in for the Hub on this machine: serves model folders the way the hub client asks for them."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "c0ffee" * 6 + "c0de"


class HubHandler(BaseHTTPRequestHandler):
    """Answers for the repositories of the server."""

    protocol_version = "HTTP/1.1"
    server: HubServer

    def do_HEAD(self) -> None:
        self.do_GET(head=True)

    def do_GET(self, *, head: bool = False) -> None:
        path = unquote(urlsplit(self.path).path).strip("/")
        self.server.asked.append(path)
        if path.startswith("api/models/"):
            repo, _, rest = path.removeprefix("api/models/").partition("/revision/")
            repo = repo.partition("/tree/")[0]
            self._describe(repo, tree="/tree/" in path, head=head)
            return
        repo, _, rest = path.partition("/resolve/")
        if repo in self.server.gated:
            self._refuse(403, "GatedRepo")
            return
        file = self.server.repos.get(repo, Path("/nothing")) / rest.partition("/")[2]
        if not file.is_file():
            self._refuse(404, "EntryNotFound" if repo in self.server.repos else "RepoNotFound")
            return
        content = file.read_bytes()
        etag = f'"{hashlib.sha256(content).hexdigest()}"'
        self._send(content, {"ETag": etag, "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}, head=head)

    def _describe(self, repo: str, *, tree: bool, head: bool) -> None:
        folder = self.server.repos.get(repo)
        if folder is None:
            self._refuse(404, "RepoNotFound")
            return
        files = sorted(p for p in folder.iterdir() if p.is_file())
        siblings = [{"rfilename": p.name} for p in files]
        listed = [
            {"type": "file", "path": p.name, "size": p.stat().st_size, "oid": hashlib.sha256(p.read_bytes()).hexdigest()} for p in files
        ]
        document = listed if tree else {"id": repo, "modelId": repo, "sha": COMMIT, "siblings": siblings, "tags": [], "private": False}
        self._send(json.dumps(document).encode(), {"Content-Type": "application/json", "X-Repo-Commit": COMMIT}, head=head)

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, content: bytes, headers: dict[str, str], *, head: bool) -> None:
        self.send_response(200)
        for name, value in (headers | {"Content-Length": str(len(content))}).items():
            self.send_header(name, value)
        self.end_headers()
        if not head:
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class HubServer(ThreadingHTTPServer):
    """Holds repositories by id, and remembers what was asked for."""

    def __init__(self, repos: dict[str, Path]) -> None:
        super().__init__(("127.0.0.1", 0), HubHandler)
        self.repos, self.asked = repos, list[str]()
        self.gated = set[str]()
        """Repositories that are shown to everybody and handed out to nobody."""

    @property
    def address(self) -> str:
        """What HF_ENDPOINT must be."""
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def hub(repos: dict[str, Path]) -> Iterator[HubServer]:
    """Serve folders as repositories."""
    server = HubServer(repos)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
