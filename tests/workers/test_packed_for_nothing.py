"""What was packed and brought into the store for nothing leaves it again; what a row names stays."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import Engine

from app.db import Run
from app.db.artifacts import keep
from app.db.session import unit_of_work
from app.domain.events import Finished
from app.domain.ports import Sealed
from app.services.accounts import Identity
from tests.workers.packing_scenes import blobs, uploading
from tests.workers.scenes import Play, Scripted, ask, play, run_id, state, worker
from workers.dataset_tasks import Made
from workers.import_work import ImportWork
from workers.training_work import PackedAdapter, TrainingWork
from workers.worker import Worker

__all__ = ["play", "run_id", "worker"]


def bring(worker: Worker, name: str) -> Sealed:
    path = worker.storage.incoming / name
    path.write_bytes(b"content")
    return uploading(worker)(path)


@pytest.mark.parametrize("is_kept", [False, True])
def test_what_no_row_names_leaves_the_store(engine: Engine, worker: Worker, run_id: str, *, is_kept: bool) -> None:
    adapter = bring(worker, "adapter")
    if is_kept:
        with unit_of_work(engine) as session:
            keep(session, worker.storage, bring(worker, "kept"), kind="rows", filename="x", owner=session.get_one(Run, run_id))
    TrainingWork().discard(worker, PackedAdapter(adapter, None))
    assert (blobs(worker), adapter.path.exists()) == (is_kept, False)
    rows = bring(worker, "rows")
    ImportWork().discard(worker, Made({}, files={"rows": rows}))
    assert (blobs(worker), rows.path.exists()) == (is_kept, True)


@pytest.mark.parametrize("what", ["a person cancels", "the worker has to leave"])
def test_packing_that_takes_long_keeps_nobody_waiting_and_leaves_nothing_in_the_store(
    engine: Engine, owner: Identity, worker: Worker, play: Play, run_id: str, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    packing, over = threading.Event(), threading.Event()
    threads: list[threading.Thread] = []

    def package(_self: Scripted, worker: Worker, _work_id: str, _token: int, _finished: Finished | None) -> PackedAdapter:
        threads.append(threading.current_thread())
        packing.set()
        over.wait(60)
        return PackedAdapter(bring(worker, "adapter.zip"), None)

    def interrupt() -> None:
        packing.wait(60)
        if what == "a person cancels":
            ask(engine, owner, run_id, "cancel", worker.storage)
        else:
            worker.leaving.set()

    worker.grace_seconds = 0.2
    monkeypatch.setattr(Scripted, "package", package)
    asking = threading.Thread(target=interrupt)
    asking.start()
    play("succeeds")
    asking.join()
    assert threads[0].is_alive()
    assert threads[0].daemon  # for any other the process would wait before it ends
    run = state(engine, run_id)
    assert (run.status, run.crashes_since_progress) == ("cancelled" if what == "a person cancels" else "queued", 0)
    over.set()
    threads[0].join(60)
    assert (blobs(worker), list(worker.storage.incoming.iterdir())) == (0, [])
