"""A run that is claimed on a GPU has the inference server free it first, and give it back at the end."""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from app.config import Settings
from app.gateways.storage import LocalStorage
from app.services.accounts import Identity
from tests.databases import add_dataset, add_run
from tests.workers.scenes import Scripted
from workers.claim import claim_and_run
from workers.kinds import KINDS
from workers.worker import Worker

Heard = list[tuple[str, dict[str, Any], str]]


@pytest.fixture
def inference() -> Iterator[tuple[str, Heard]]:
    """A server that notes what it is told."""
    heard: Heard = []

    class Listener(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            heard.append((self.path, body, self.headers["Authorization"]))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Listener)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", heard
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("gpu", ["GPU-0aa", None])
def test_the_gpu_is_lent_for_the_time_of_a_run(
    sqlite_engine: Engine, inference: tuple[str, Heard], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gpu: str | None
) -> None:
    address, heard = inference
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    owner = _owner(sqlite_engine)
    add_run(sqlite_engine, owner, add_dataset(sqlite_engine, owner), name="nightly")
    monkeypatch.setitem(KINDS, "run", Scripted("succeeds", tmp_path))
    settings = Settings(home=tmp_path, inference_url=address, inference_key="secret")
    assert claim_and_run(Worker(settings, "gpu", 1, 2.0, sqlite_engine, LocalStorage(tmp_path), "a GPU", gpu is not None, gpu))
    told = [
        ("/yield", {"device": "GPU-0aa", "run": "nightly"}, "Bearer secret"),
        ("/resume", {"device": "GPU-0aa", "run": "nightly"}, "Bearer secret"),
    ]
    assert heard == (told if gpu else [])


def _owner(engine: Engine) -> Identity:
    from app.db.session import unit_of_work
    from app.services.accounts import Accounts

    with unit_of_work(engine) as session:
        return Accounts(session).ensure_owner()
