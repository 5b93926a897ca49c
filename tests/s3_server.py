"""A real S3 server over HTTP for tests: it checks keys, can be stopped and started again, and its line can be cut."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from moto.server import ThreadedMotoServer

from app.gateways import remote_storage
from app.gateways.remote_storage import RemoteStorage
from app.gateways.storage import LocalStorage

BUCKET = "studio"
ADDRESS = f"s3://{BUCKET}/files"


class S3Server:
    """The server, at a port of its own; what it holds outlives a stop."""

    def __init__(self) -> None:
        self.part_headers: list[str] = []
        self.asked: list[str] = []
        # Held as long as this lives: while the server is stopped, nobody else on this machine is given its port.
        self._held = socket.socket()
        self._held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._held.bind(("127.0.0.1", 0))
        self.port = self._held.getsockname()[1]
        self._serve(self.port)
        self.url = f"http://127.0.0.1:{self.port}"
        self.client: Any = boto3.client("s3", endpoint_url=self.url, region_name="us-east-1")
        self.client.create_bucket(Bucket=BUCKET)

    def stop(self) -> None:
        self._server.stop()

    def start(self) -> None:
        self._serve(self.port)

    def _serve(self, port: int) -> None:
        self._server = ThreadedMotoServer("127.0.0.1", port, verbose=False)
        self._server.start()
        serving: Any = self._server._server
        app = serving.app

        def listening(environ: dict[str, Any], start_response: Any) -> Any:
            self.asked.append(environ["REQUEST_METHOD"])
            if "partNumber=" in environ["QUERY_STRING"]:
                self.part_headers += [name.removeprefix("HTTP_").replace("_", "-").lower() for name in environ]
            return app(environ, start_response)

        serving.app = listening

    def check_keys(self) -> None:
        """From now on only keys that were made here are good, and none was."""
        httpx.post(f"{self.url}/moto-api/reset-auth", content=b"0")

    def close(self) -> None:
        httpx.post(f"{self.url}/moto-api/reset-auth", content=b"inf")
        httpx.post(f"{self.url}/moto-api/reset")
        self.client.close()
        self.stop()
        self._held.close()


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """A server with an empty bucket, named in the environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    # Two seconds are enough for a store; one in a thread of a busy test may be given its turn later.
    monkeypatch.setitem(remote_storage.BRIEF[1], "read_timeout", 60)
    server = S3Server()
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url)
    yield server
    server.close()


def remote(home: Path, address: str = ADDRESS, cache_bytes: int = 10**9) -> RemoteStorage:
    """The store as a machine with that home sees it."""
    return RemoteStorage(address, LocalStorage(home / "cache"), cache_bytes)


class BadLine:
    """Stands before the server and cuts the first connections after so many bytes, in whatever direction they go."""

    def __init__(self, port: int, *, cuts: int, after: int) -> None:
        self.cuts, self._after, self._target = cuts, after, port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                caller, _ = self._listener.accept()
                threading.Thread(target=self._connect, args=(caller,), daemon=True).start()

    def _connect(self, caller: socket.socket) -> None:
        with caller, socket.create_connection(("127.0.0.1", self._target)) as server:
            back = threading.Thread(target=self._pass_on, args=(server, caller), daemon=True)
            back.start()
            self._pass_on(caller, server)
            back.join()

    def _pass_on(self, one: socket.socket, other: socket.socket) -> None:
        passed = 0
        with suppress(OSError):
            while data := one.recv(65536):
                passed += len(data)
                if passed > self._after and self.cuts > 0:
                    self.cuts -= 1
                    break
                other.sendall(data)
        for end in (one, other):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
