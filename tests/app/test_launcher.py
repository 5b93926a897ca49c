"""What `hone up` starts its parts with."""

from __future__ import annotations

import http.server
import io
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app import launcher
from app.config import Settings
from app.gateways.family import Child
from app.launcher import Studio
from tests.driver import driver

__all__ = ["driver"]
SECRETS = {"HONE_DATABASE_URL", "HONE_REDIS_URL", "HF_TOKEN", "HTTPS_PROXY", "PGPASSWORD"}


@pytest.fixture
def sockets() -> Iterator[tuple[socket.socket, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as web, socket.socket() as inference:
        inference.bind(("127.0.0.1", 0))
        yield web, inference


def parts(settings: Settings, sockets: tuple[socket.socket, socket.socket]) -> dict[str, Child]:
    return {child.name: child for child in Studio(settings, *sockets, io.BytesIO()).children}


def test_the_inference_server_gets_its_key_and_none_of_the_studios(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sockets: tuple[socket.socket, socket.socket]
) -> None:
    for name in SECRETS:
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("HONE_INFERENCE_THREADS", "2")
    started = parts(Settings(home=tmp_path), sockets)
    inference, web = started["inference"].environment, started["web"].environment
    assert set(inference) & SECRETS == set()
    assert inference["HONE_INFERENCE_THREADS"] == "2"
    assert inference["HONE_HOME"] == str(tmp_path)  # no secret, and tells whose it is
    assert inference["HONE_INFERENCE_KEY"] == web["HONE_INFERENCE_KEY"]
    assert set(web) >= SECRETS


def test_what_opens_the_secrets_is_kept_from_trainers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sockets: tuple[socket.socket, socket.socket]
) -> None:
    monkeypatch.setenv("HONE_SECRET_KEY", "k" * 44)
    started = parts(Settings(home=tmp_path), sockets)
    assert {name for name, child in started.items() if "HONE_SECRET_KEY" in child.environment} == {"web", "cpu worker"}


def test_the_inference_port_is_bound_once_and_handed_on(tmp_path: Path, sockets: tuple[socket.socket, socket.socket]) -> None:
    started = parts(Settings(home=tmp_path), sockets)
    handed = sockets[1]
    assert started["inference"].pass_fds == (handed.fileno(),)
    assert started["inference"].command[-2:] == ["--fd", str(handed.fileno())]
    for name in ("web", "cpu worker", "gpu worker"):
        assert started[name].environment["HONE_INFERENCE_URL"] == f"http://127.0.0.1:{handed.getsockname()[1]}"


def test_a_log_without_room_does_not_end_the_studio(tmp_path: Path, sockets: tuple[socket.socket, socket.socket]) -> None:
    with Path("/dev/full").open("wb", buffering=0) as full:
        Studio(Settings(home=tmp_path), *sockets, full).say("nobody reads this")


def test_the_log_is_looked_at_once_a_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sockets: tuple[socket.socket, socket.socket]
) -> None:
    looked: list[Path] = []
    monkeypatch.setattr(launcher, "rotate", looked.append)
    studio = Studio(Settings(home=tmp_path), *sockets, io.BytesIO())
    studio.tend()
    studio.tend()
    assert len(looked) == 1
    monkeypatch.setattr(time, "monotonic", lambda now=time.monotonic(): now + 61)
    studio.tend()
    assert len(looked) == 2


def test_a_web_alone_is_a_web_alone(tmp_path: Path, sockets: tuple[socket.socket, socket.socket]) -> None:
    assert list(parts(Settings(home=tmp_path, workers=False), sockets)) == ["web"]


def test_each_gpu_has_a_worker_of_its_own(tmp_path: Path, driver: Path, sockets: tuple[socket.socket, socket.socket]) -> None:
    assert driver.is_file()
    started = parts(Settings(home=tmp_path), sockets)
    assert [name for name in started if "worker" in name] == ["cpu worker", "gpu worker of GPU 0", "gpu worker of GPU 1"]
    assert started["gpu worker of GPU 1"].command[-4:] == ["--queue", "gpu", "--device", "GPU-1bb"]


def test_after_the_warning_it_still_says_when_it_is_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], sockets: tuple[socket.socket, socket.socket]
) -> None:
    monkeypatch.setattr(launcher, "READY_SECONDS", 0.0)
    statuses = iter([503, 503, 503])

    class Slow(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(next(statuses, 200))
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Slow) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        log = io.BytesIO()
        Studio(Settings(home=tmp_path), server.socket, sockets[1], log)._say_when_ready()
        server.shutdown()
    said = capsys.readouterr()
    assert said.out == f"Hone is ready at http://127.0.0.1:{server.server_port}\n"
    assert said.err.count("still not ready") == 1
