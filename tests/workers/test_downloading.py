"""What a download does with a server that leads it in circles or hardly sends anything, and with a lock that lies there already."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.domain.errors import Unavailable
from app.domain.events import Contacted, parse_event
from tests.hub_server import COMMIT, HubServer, hub
from workers.curation.child import Reporter
from workers.downloading import DownloadSpec, download

CONTENT = b'{"model_type": "llama"}' + b" " * 5000


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    folder = tmp_path / "repo"
    folder.mkdir()
    (folder / "config.json").write_bytes(CONTENT)
    (folder / "model.safetensors").write_bytes(b"weights")
    with hub({"acme/small": folder}) as started:
        monkeypatch.setenv("HF_ENDPOINT", started.address)
        monkeypatch.setenv("HF_HUB_OFFLINE", "0")
        yield started


@pytest.fixture
def spec(tmp_path: Path) -> DownloadSpec:
    files = [
        {"path": name, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in (("config.json", CONTENT), ("model.safetensors", b"weights"))
    ]
    given = {"repo": "acme/small", "commit": COMMIT, "files": files, "parts": tmp_path / "parts", "target": tmp_path / "here"}
    return DownloadSpec.model_validate(given)


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    """Return where what the child says is written."""
    return tmp_path / "events.jsonl"


@pytest.fixture
def reporter(pipe: Path) -> Iterator[Reporter]:
    made = Reporter(os.open(pipe, os.O_WRONLY | os.O_CREAT))
    yield made
    made._stream.close()


def contacted(pipe: Path) -> list[str]:
    return [event.host for event in map(parse_event, pipe.read_text().splitlines()) if isinstance(event, Contacted)]


def test_a_small_model_comes(server: HubServer, spec: DownloadSpec, reporter: Reporter, pipe: Path) -> None:
    assert download(spec, reporter).status == "succeeded"
    assert ((spec.target / "config.json").read_bytes(), contacted(pipe)) == (CONTENT, ["127.0.0.1"])


def test_each_host_is_told_once_and_before_it_answers(server: HubServer, spec: DownloadSpec, reporter: Reporter, pipe: Path) -> None:
    with hub(server.repos) as store:
        server.files_at = store.address.replace("127.0.0.1", "localhost")
        seen: list[list[str]] = []
        answer = store.RequestHandlerClass._send  # type: ignore[attr-defined]

        def look(handler: Any, *given: Any, **how: Any) -> None:
            seen.append(contacted(pipe))
            answer(handler, *given, **how)

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("tests.hub_server.HubHandler._send", look)
            download(spec, reporter)
    assert seen == [["127.0.0.1"], ["127.0.0.1", "localhost"]]
    assert contacted(pipe) == ["127.0.0.1", "localhost"]


def test_a_server_that_leads_in_circles_is_given_up_and_was_spoken_to(
    server: HubServer, spec: DownloadSpec, reporter: Reporter, pipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def circle(handler: Any, *_: object, **__: object) -> None:
        handler._move(handler.path)

    monkeypatch.setattr("tests.hub_server.HubHandler._send", circle)
    with pytest.raises(Unavailable) as refused:
        download(spec, reporter)
    assert (refused.value.code, contacted(pipe)) == ("not_fetched", ["127.0.0.1"])


@pytest.mark.parametrize(
    "bounds", [{"LONGEST_SECONDS": -1.0}, {"PATIENCE_SECONDS": -1.0, "SLOWEST_BYTES": 10**12}], ids=["too long", "too slow"]
)
def test_what_hardly_comes_is_given_up_and_stays_for_the_next_try(
    server: HubServer, spec: DownloadSpec, reporter: Reporter, monkeypatch: pytest.MonkeyPatch, bounds: dict[str, float]
) -> None:
    with monkeypatch.context() as strict:
        for name, value in bounds.items():
            strict.setattr(f"workers.downloading.{name}", value)
        with pytest.raises(Unavailable) as refused:
            download(spec, reporter)
    assert (refused.value.code, (spec.parts / "config.json.part").stat().st_size > 0) == ("too_slow", True)
    assert download(spec, reporter).status == "succeeded"
