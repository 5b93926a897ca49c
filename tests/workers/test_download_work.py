"""Base models fetched from the Hub through a worker, with the real child: whole or not at all, and gone on with where a line broke."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select

from app.config import PROJECT_ROOT, Settings
from app.db import AuditEntry, Download, EventRow
from app.db.session import reading, unit_of_work
from app.domain.ports import Secrets
from app.domain.runs import RunStatus
from app.domain.specs import STARTER
from app.gateways.fetched_bases import FetchedBases
from app.gateways.hub_models import HubModels
from app.gateways.secrets import SecretBox
from app.gateways.storage import LocalStorage
from app.services.accounts import Identity
from app.services.connections import Connections
from app.services.downloads import Downloads
from tests.hub_server import COMMIT, HubServer, hub
from tests.silent_queue import SilentQueue
from tests.waiting import PATIENCE_SECONDS, until
from workers.claim import claim_and_run
from workers.download_work import DownloadWork
from workers.worker import Worker

REPO = "acme/small"
STARTER_FOLDER = PROJECT_ROOT / "models" / STARTER
WEIGHTS = (STARTER_FOLDER / "model.safetensors").stat().st_size


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A Hub that has the bundled base under another name, with a pickle and a program beside it."""
    folder = tmp_path / "repo"
    folder.mkdir()
    for file in STARTER_FOLDER.iterdir():
        (folder / file.name).symlink_to(file)
    (folder / "pytorch_model.bin").write_bytes(b"no")
    (folder / "modeling.py").write_text("raise SystemExit")
    with hub({REPO: folder}) as started:
        for name, value in {"HF_ENDPOINT": started.address, "HF_HUB_OFFLINE": "0"}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield started


@pytest.fixture
def worker(engine: Engine, tmp_path: Path) -> Iterator[Worker]:
    made = Worker(Settings(home=tmp_path), "cpu", 1, 2.0, engine, LocalStorage(tmp_path / "artifacts"), "CPU", has_gpu=False)
    yield made
    made.leaving.set()


def asked(worker: Worker, by: Identity, server: HubServer, token: str | None = None) -> str:
    looked = HubModels(server.address).look(REPO, token=token)
    with unit_of_work(worker.engine) as session:
        return Downloads(session, SilentQueue(), FetchedBases(worker.settings.fetched_bases)).start(by, looked).id


def row(worker: Worker, download_id: str) -> Download:
    with reading(worker.engine) as session:
        return session.get_one(Download, download_id)


def place(worker: Worker) -> Path:
    return FetchedBases(worker.settings.fetched_bases).place(REPO, COMMIT)


def asked_for_weights(server: HubServer) -> int:
    return len([path for path in server.asked if path.endswith("model.safetensors")])


def contacts(worker: Worker) -> list[dict[str, Any]]:
    """Return what is noted of hosts that were spoken to, in order."""
    noted = select(AuditEntry).where(AuditEntry.action == "outside.contacted").order_by(AuditEntry.id)
    with reading(worker.engine) as session:
        return [entry.details for entry in session.scalars(noted)]


def test_a_model_comes_whole_without_pickles_and_programs(worker: Worker, owner: Identity, server: HubServer) -> None:
    download_id = asked(worker, owner, server)
    assert claim_and_run(worker)
    done = row(worker, download_id)
    assert (done.status, done.reason, done.done_bytes == done.total_bytes > WEIGHTS) == ("succeeded", "", True)
    names = {path.name for path in place(worker).iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= names
    assert not {"pytorch_model.bin", "modeling.py"} & names
    assert (place(worker) / "model.safetensors").read_bytes() == (STARTER_FOLDER / "model.safetensors").read_bytes()
    assert not (worker.settings.home / "downloads" / download_id).exists()
    with reading(worker.engine) as session:
        noted = {entry.action: entry.details for entry in session.scalars(select(AuditEntry))}
    assert noted["outside.asked"]["source"] == f"{REPO}@{COMMIT}"
    assert contacts(worker) == [{"hosts": ["127.0.0.1"], "why": "a base model"}]


def test_a_line_that_breaks_is_gone_on_with_where_it_broke(worker: Worker, owner: Identity, server: HubServer) -> None:
    files = [file.path for file in HubModels(server.address).look(REPO).scan.wanted]
    download_id = asked(worker, owner, server)
    server.cuts = [10**9] * files.index("model.safetensors") + [WEIGHTS // 3]
    claim_and_run(worker)
    assert row(worker, download_id).status == "succeeded", row(worker, download_id).reason
    assert server.ranges == [f"bytes={WEIGHTS // 3}-"]


def test_what_a_failed_download_brought_is_not_fetched_again(worker: Worker, owner: Identity, server: HubServer) -> None:
    parts = FetchedBases(worker.settings.fetched_bases).parts(REPO, COMMIT)
    parts.mkdir(parents=True)
    with (STARTER_FOLDER / "model.safetensors").open("rb") as file:
        (parts / "model.safetensors.part").write_bytes(file.read(WEIGHTS // 2))
    (parts / "config.json").write_bytes((STARTER_FOLDER / "config.json").read_bytes())
    (parts / "of another time.json").write_text("{}")
    asked(worker, owner, server)
    before = len(server.asked)
    claim_and_run(worker)
    assert server.ranges == [f"bytes={WEIGHTS // 2}-"]
    assert not [path for path in server.asked[before:] if path.endswith("/config.json")]
    assert not (place(worker) / "of another time.json").exists()


def test_without_parts_nothing_is_asked_in_part(worker: Worker, owner: Identity, server: HubServer) -> None:
    asked(worker, owner, server)
    claim_and_run(worker)
    assert (server.ranges, asked_for_weights(server)) == ([], 1)


@pytest.mark.parametrize("file", ["model.safetensors", "config.json"])
def test_a_file_whose_hash_is_wrong_is_not_taken(worker: Worker, owner: Identity, server: HubServer, file: str) -> None:
    download_id = asked(worker, owner, server)
    damaged = server.repos[REPO] / file
    content = damaged.read_bytes()
    damaged.unlink()
    damaged.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    claim_and_run(worker)
    failed = row(worker, download_id)
    assert (failed.status, failed.error_code) == ("failed", "damaged")
    assert f"'{file}' did not arrive as the Hub says it is" in failed.reason
    assert not place(worker).exists()


def test_a_gated_model_comes_with_the_token_that_the_project_has_stored(
    worker: Worker, owner: Identity, server: HubServer, tmp_path: Path
) -> None:
    server.gated.add(REPO)
    download_id = asked(worker, owner, server, server.token)
    claim_and_run(worker)
    closed = row(worker, download_id)
    assert (closed.status, closed.error_code, "Ask for access" in closed.reason) == ("failed", "gated_model", True)
    box: Secrets = SecretBox(None, tmp_path.resolve())
    with unit_of_work(worker.engine) as session:
        Connections(session, box).set_hub_token(owner, server.token)
    download_id = asked(worker, owner, server, server.token)
    claim_and_run(worker)
    assert row(worker, download_id).status == "succeeded"
    with reading(worker.engine) as session:
        told = [str(each.__dict__) for table in (AuditEntry, EventRow, Download) for each in session.scalars(select(table))]
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert not [text for text in told if server.token in text]
    assert not [content for content in written if server.token.encode() in content]


def test_a_disk_that_is_too_small_is_seen_before_anything_is_asked(
    worker: Worker, owner: Identity, server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    download_id = asked(worker, owner, server)
    with unit_of_work(worker.engine) as session:
        facts = session.get_one(Download, download_id).facts
        files = [file | {"size": 10**16} if file["path"] == "model.safetensors" else file for file in facts["files"]]
        session.get_one(Download, download_id).facts = facts | {"files": files}
    before = len(server.asked)
    claim_and_run(worker)
    assert (row(worker, download_id).error_code, server.asked[before:]) == ("disk_full", [])


def slow(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Have the weights stop halfway until the event is set; the answer before that is sent."""
    go_on = threading.Event()
    send = server.RequestHandlerClass._send  # type: ignore[attr-defined]

    def halfway(handler: Any, content: bytes, headers: dict[str, str], **how: Any) -> None:
        if len(content) != WEIGHTS or handler.headers.get("Range"):
            send(handler, content, headers, **how)
            return
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content[: WEIGHTS // 2])
        handler.wfile.flush()
        go_on.wait(PATIENCE_SECONDS)
        handler.close_connection = True

    monkeypatch.setattr(server.RequestHandlerClass, "_send", halfway)
    return go_on


def once_half_has_come(worker: Worker, act: Any) -> threading.Thread:
    """Do something as soon as half of the weights lie here."""
    part = FetchedBases(worker.settings.fetched_bases).parts(REPO, COMMIT) / "model.safetensors.part"

    def wait_and_act() -> None:
        until(lambda: part.is_file() and part.stat().st_size >= WEIGHTS // 2 - 2**20)
        act()

    thread = threading.Thread(target=wait_and_act)
    thread.start()
    return thread


def test_a_child_that_was_killed_leaves_its_parts_to_the_next(
    worker: Worker, owner: Identity, server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = slow(server, monkeypatch)
    download_id = asked(worker, owner, server)

    def kill() -> None:
        [child] = [
            int(folder.name)
            for folder in Path("/proc").glob("[0-9]*")
            if b"workers.downloading" in _command_of(folder) and download_id.encode() in _command_of(folder)
        ]
        os.kill(child, signal.SIGKILL)

    killing = once_half_has_come(worker, kill)
    claim_and_run(worker)
    killing.join()
    go_on.set()
    assert row(worker, download_id).status == "queued"
    assert contacts(worker) == [{"hosts": ["127.0.0.1"], "why": "a base model"}]
    claim_and_run(worker)
    assert row(worker, download_id).status == "succeeded"
    [asked_from] = [int(each.removeprefix("bytes=").rstrip("-")) for each in server.ranges]
    assert asked_from > 0
    assert (place(worker) / "model.safetensors").read_bytes() == (STARTER_FOLDER / "model.safetensors").read_bytes()


def _command_of(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""


def test_a_download_that_is_called_off_leaves_nothing(
    worker: Worker, owner: Identity, server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = slow(server, monkeypatch)
    download_id, bases = asked(worker, owner, server), FetchedBases(worker.settings.fetched_bases)

    def cancel() -> None:
        with unit_of_work(worker.engine) as session:
            Downloads(session, SilentQueue(), bases).cancel(owner, download_id)

    cancelling = once_half_has_come(worker, cancel)
    claim_and_run(worker)
    cancelling.join()
    go_on.set()
    assert row(worker, download_id).status == RunStatus.CANCELLED
    assert (bases.part_bytes(REPO, COMMIT), bases.listed()) == (0, [])
    assert contacts(worker) == [{"hosts": ["127.0.0.1"], "why": "a base model"}]


def test_parts_that_another_download_needs_stay_when_one_is_called_off(worker: Worker, owner: Identity, server: HubServer) -> None:
    bases = FetchedBases(worker.settings.fetched_bases)
    parts = bases.parts(REPO, COMMIT)
    parts.mkdir(parents=True)
    (parts / "model.safetensors.part").write_bytes(b"half")
    first = asked(worker, owner, server)
    with unit_of_work(worker.engine) as session:
        other = Download(project_id=owner.project_id, queue="cpu", repo=REPO, revision=COMMIT, status=RunStatus.RUNNING)
        session.add(other)
        session.flush()
        second = other.id
    for download_id, left in ((first, 4), (second, 0)):
        with unit_of_work(worker.engine) as session:
            called_off = session.get_one(Download, download_id)
            called_off.status = RunStatus.CANCELLED
            DownloadWork().ended(session, worker, called_off)
        assert bases.part_bytes(REPO, COMMIT) == left


def test_what_is_here_already_is_not_fetched(worker: Worker, owner: Identity, server: HubServer) -> None:
    first = asked(worker, owner, server)
    claim_and_run(worker)
    before = asked_for_weights(server)
    second = asked(worker, owner, server)
    claim_and_run(worker)
    assert (first != second, row(worker, second).status, asked_for_weights(server)) == (True, "succeeded", before)


def test_a_spec_that_leads_elsewhere_is_refused(worker: Worker, owner: Identity, server: HubServer) -> None:
    download_id = asked(worker, owner, server)
    with unit_of_work(worker.engine) as session:
        session.get_one(Download, download_id).facts = {"files": [{"path": "../../x.json", "size": 1}]}
    claim_and_run(worker)
    assert row(worker, download_id).status in {"queued", "failed"}
    assert not list(worker.settings.home.rglob("x.json"))
    assert server.ranges == []
