"""A run that is claimed on a GPU has the inference server free it first, and give it back at the end."""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, update

import workers.heartbeat
import workers.lending
from app.config import Settings
from app.db import Run
from app.db.counters import STALE_WRITE_REJECTED, counted
from app.db.leases import claim
from app.db.session import reading, unit_of_work
from app.gateways.storage import LocalStorage
from app.services.accounts import Identity
from tests.databases import add_dataset, add_run
from tests.serving import Quiet, serving
from tests.waiting import PATIENCE_SECONDS, until
from tests.workers.scenes import Scripted, ask, once_it_runs, state
from workers.claim import claim_and_run
from workers.kinds import KINDS
from workers.lending import Borrower, LentGpu
from workers.worker import Worker

GPU = "GPU-0aa"


@dataclass
class Inference:
    """A server that notes what it is told, and may take its time to answer."""

    address: str = ""
    heard: list[tuple[str, dict[str, Any], str]] = field(default_factory=list)
    hangs_at: str = ""
    over: threading.Event = field(default_factory=threading.Event)

    def paths(self) -> list[str]:
        return [path for path, *_ in self.heard]


@pytest.fixture
def inference() -> Iterator[Inference]:
    made = Inference()

    class Listener(Quiet, BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            made.heard.append((self.path, body, self.headers["Authorization"]))
            if self.path == made.hangs_at:
                made.over.wait(60)
            self.send_response(200)
            self.end_headers()

    with serving(Listener) as port:
        made.address = f"http://127.0.0.1:{port}"
        yield made
        made.over.set()


@pytest.fixture
def engine(sqlite_engine: Engine) -> Engine:
    """Who has the GPU is the same with every database."""
    return sqlite_engine


@pytest.fixture
def worker(engine: Engine, inference: Inference, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Worker:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setitem(KINDS, "run", Scripted("succeeds", tmp_path))
    settings = Settings(home=tmp_path, inference_url=inference.address, inference_key="secret")
    return Worker(settings, "gpu", 1, 2.0, engine, LocalStorage(tmp_path), "a GPU", has_gpu=True, gpu=GPU)


@pytest.fixture
def run_id(engine: Engine, owner: Identity) -> str:
    return add_run(engine, owner, add_dataset(engine, owner), name="nightly")


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a worker wait until the server was told that it has its GPU again, however busy the machine is."""
    monkeypatch.setattr(workers.lending, "RESUME_SECONDS", PATIENCE_SECONDS)


@pytest.mark.usefixtures("unhurried")
def test_the_gpu_is_lent_for_the_time_of_a_run(worker: Worker, run_id: str, inference: Inference, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers.lending, "AGAIN_SECONDS", 3600.0)  # a run that takes long to start would be told of again
    assert claim_and_run(worker)
    assert inference.heard == [
        ("/yield", {"device": GPU, "holder": f"{run_id}-t1", "run": "nightly"}, "Bearer secret"),
        ("/resume", {"device": GPU, "holder": f"{run_id}-t1"}, "Bearer secret"),
    ]


def test_a_worker_without_a_gpu_lends_none(worker: Worker, run_id: str, inference: Inference) -> None:
    assert run_id
    worker.has_gpu, worker.gpu = False, None
    assert claim_and_run(worker)
    assert inference.heard == []


@pytest.mark.usefixtures("unhurried")
def test_a_server_that_was_started_anew_hears_again_who_has_the_gpu(
    worker: Worker, inference: Inference, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers.lending, "AGAIN_SECONDS", 0.02)
    with LentGpu(worker, Borrower("1", "nightly")) as gpu:
        assert gpu.is_free.wait(60)
        inference.heard.clear()  # it knows nothing any more
        until(lambda: "/yield" in inference.paths())
    assert inference.paths()[-1] == "/resume"
    assert "/resume" not in inference.paths()[:-1]


@pytest.mark.parametrize(("wish", "end"), [("cancel", "cancelled"), ("pause", "paused"), ("stop", "stopped"), (None, "queued")])
def test_who_waits_for_the_gpu_still_does_as_it_is_told(
    worker: Worker, owner: Identity, run_id: str, inference: Inference, monkeypatch: pytest.MonkeyPatch, wish: str | None, end: str
) -> None:
    monkeypatch.setattr(workers.lending, "RESUME_SECONDS", 0.1)
    inference.hangs_at = "/yield"

    def tell() -> None:
        until(inference.paths)  # else the run could be over before anybody had asked for the GPU
        if wish:
            ask(worker.engine, owner, run_id, wish)
        else:
            worker.leaving.set()

    told = once_it_runs(worker.engine, run_id, tell, status="starting")
    assert claim_and_run(worker)
    told.join()
    run = state(worker.engine, run_id)
    assert (run.status, run.crashes_since_progress, inference.paths()) == (end, 0, ["/yield"])


def test_what_the_next_holder_does_while_the_gpu_is_given_back_is_no_refusal(
    worker: Worker, run_id: str, inference: Inference, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A beat each second, of which one comes while the GPU is given back; half a lease is never over meanwhile.
    worker.settings.lease_seconds = 400
    monkeypatch.setattr(workers.heartbeat, "BEATS_PER_LEASE", 400)
    monkeypatch.setattr(workers.lending, "RESUME_SECONDS", 2.0)
    inference.hangs_at = "/resume"

    def take() -> None:
        until(lambda: "/resume" in inference.paths())
        with unit_of_work(worker.engine) as session:
            session.execute(update(Run).where(Run.id == run_id).values(status="queued"))
            claim(session, Run, "next", "gpu", has_gpu=True)

    taking = threading.Thread(target=take)
    taking.start()
    assert claim_and_run(worker)
    taking.join()
    assert state(worker.engine, run_id).lease_token == 2
    with reading(worker.engine) as session:
        assert STALE_WRITE_REJECTED not in counted(session)
