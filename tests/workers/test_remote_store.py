"""A studio whose files lie on S3: the web and two workers, each on a machine of its own, and a store that is away for a while."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine, update

from app.config import Settings
from app.db import EventRow, Run
from app.db.session import reading, unit_of_work
from app.domain.ports import Brought
from app.domain.results import ADAPTER_FILES
from app.domain.runs import RunStatus, adapter_folder
from app.gateways.remote_storage import RemoteStorage
from app.gateways.storage import LocalStorage
from app.services.accounts import Identity
from app.services.datasets import Datasets
from tests.databases import add_dataset, add_run
from tests.s3_server import ADDRESS, S3Server, remote, s3
from tests.silent_queue import SilentQueue
from workers.child import Child
from workers.claim import claim_and_run
from workers.kinds import KINDS
from workers.leftovers import clear_leftovers
from workers.run_checkpoints import newest_good_checkpoint, run_folder
from workers.sweep import sweep
from workers.training.checkpoints import Checkpoints
from workers.training_work import TrainingWork
from workers.worker import Worker

__all__ = ["s3"]
SPEC = {"settings": {"tuning": "lora"}}
ROWS = '{"prompt": "a", "completion": "b"}\n{"prompt": "c", "completion": "d"}\n'


@pytest.fixture
def engine(sqlite_engine: Engine) -> Engine:
    """What lies on S3 is the same with every database."""
    return sqlite_engine


def make_worker(engine: Engine, home: Path, queue: str = "gpu") -> Worker:
    return Worker(Settings(home=home, storage_url=ADDRESS), queue, 1, 2.0, engine, remote(home), "CPU", has_gpu=False)


class Training(TrainingWork):
    """Training whose child only speaks: at the first attempt it saves and dies, at the second it succeeds."""

    def prepare(self, worker: Worker, work_id: str, token: int) -> Callable[[], Child]:
        with reading(worker.engine) as session:
            dataset = worker.storage.path(session.get_one(Run, work_id).version.artifact.sha256)
        folder = run_folder(worker, work_id)
        folder.mkdir(parents=True, exist_ok=True)
        assert dataset.is_file()
        if newest_good_checkpoint(worker, work_id, token):
            (folder / adapter_folder(token)).mkdir()
            self._write(folder / adapter_folder(token))
            return self._play(folder, "succeeds")
        Checkpoints(folder / "checkpoints", lease_token=token, keep=None).save(1, self._write)
        return self._play(folder, "dies after a checkpoint")

    @staticmethod
    def _play(folder: Path, scenario: str) -> Callable[[], Child]:
        return lambda: Child(["tests.workers.scripted_child", scenario], folder=folder, log_file=folder / "log.txt")

    @staticmethod
    def _write(folder: Path) -> None:
        for name in ADAPTER_FILES:
            (folder / name).write_text(json.dumps({"base_model_name_or_path": "hone-starter", "revision": None}))


@pytest.fixture
def run_id(engine: Engine, owner: Identity, web: RemoteStorage, tmp_path: Path) -> str:
    """A run on rows that were uploaded to the web and read by a worker of another machine."""
    dataset = bring(engine, owner, web, make_worker(engine, tmp_path / "reader", "cpu"))
    return add_run(engine, owner, dataset, spec=SPEC)


@pytest.fixture
def web(s3: S3Server, tmp_path: Path) -> RemoteStorage:
    return remote(tmp_path / "web")


def bring(engine: Engine, by: Identity, web: LocalStorage | RemoteStorage, reader: Worker) -> str:
    upload = web.incoming / "upload"
    upload.write_text(ROWS)
    with unit_of_work(engine) as session:
        made = Datasets(session, web, SilentQueue()).create(by, name="rows", files=[Brought("rows.jsonl", upload)]).id
    assert claim_and_run(reader)
    return made


def state(engine: Engine, run_id: str) -> Run:
    with reading(engine) as session:
        run = session.get_one(Run, run_id)
        _ = run.adapter, run.version  # loaded, to be looked at later
        return run


def test_an_import_a_run_on_two_machines_and_its_adapter_through_s3(
    engine: Engine, owner: Identity, web: RemoteStorage, run_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with reading(engine) as session:
        rows = Datasets(session, web, SilentQueue()).rows(owner, state(engine, run_id).version.dataset_id).items
    assert [row.messages[0].content for row in rows] == ["a", "c"]
    monkeypatch.setitem(KINDS, "run", Training())
    assert claim_and_run(make_worker(engine, tmp_path / "one"))
    assert (state(engine, run_id).status, state(engine, run_id).checkpoint_step) == ("queued", 1)
    assert claim_and_run(make_worker(engine, tmp_path / "two"))
    run = state(engine, run_id)
    assert (run.status, run.attempt) == ("succeeded", 2)
    assert run.adapter is not None
    assert sorted(path.name for path in web.adapter_folder(run.adapter.sha256).iterdir()) == sorted([*ADAPTER_FILES, "README.md"])


def when(engine: Engine, run_id: str, is_so: Callable[[Run], bool], act: Callable[[], object]) -> threading.Thread:
    """Do something from another thread once the run is so."""
    waiting = threading.Event()

    def wait_and_act() -> None:
        while not is_so(state(engine, run_id)):
            waiting.wait(0.05)
        act()

    thread = threading.Thread(target=wait_and_act)
    thread.start()
    return thread


@pytest.fixture
def waits_for_the_store(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set once a worker has found the store away."""
    found, sleep = threading.Event(), time.sleep

    def telling(seconds: float) -> None:
        found.set()
        sleep(seconds / 10)

    monkeypatch.setattr(time, "sleep", telling)
    return found


def test_a_run_waits_for_a_store_that_is_away(
    engine: Engine,
    s3: S3Server,
    run_id: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    waits_for_the_store: threading.Event,
) -> None:
    monkeypatch.setitem(KINDS, "run", Training())
    s3.stop()
    back = when(engine, run_id, lambda _: waits_for_the_store.is_set(), s3.start)
    assert claim_and_run(make_worker(engine, tmp_path / "one"))
    back.join()
    assert state(engine, run_id).checkpoint_step == 1


@pytest.mark.parametrize(("wish", "end"), [("cancelling", "cancelled"), ("pausing", "paused"), (None, "queued")])
def test_what_waits_for_the_store_still_does_as_it_is_told(
    engine: Engine,
    owner: Identity,
    tmp_path: Path,
    s3: S3Server,
    monkeypatch: pytest.MonkeyPatch,
    waits_for_the_store: threading.Event,
    wish: str | None,
    end: str,
) -> None:
    run_id, worker = add_run(engine, owner, add_dataset(engine, owner)), make_worker(engine, tmp_path)
    monkeypatch.setitem(KINDS, "run", Training())
    s3.stop()

    def tell() -> None:
        if wish is None:
            worker.leaving.set()
            return
        with unit_of_work(engine) as session:
            session.get_one(Run, run_id).status = RunStatus(wish)

    told = when(engine, run_id, lambda _: waits_for_the_store.is_set(), tell)
    assert claim_and_run(worker)
    told.join()
    s3.start()
    run = state(engine, run_id)
    assert (run.status, run.crashes_since_progress) == (end, 0)
    with reading(engine) as session:
        assert any("does not answer" in event.message for event in session.query(EventRow).filter_by(subject_id=run_id))


def test_a_worker_starts_without_the_store_and_clears_it_once_it_is_back(
    engine: Engine, owner: Identity, web: RemoteStorage, tmp_path: Path, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = make_worker(engine, tmp_path / "one", "cpu")
    dataset = bring(engine, owner, web, worker)

    def dies(_: object) -> None:
        raise KeyboardInterrupt  # as a process that ends right after its commit

    def delete() -> None:
        with unit_of_work(engine) as session:
            Datasets(session, web, SilentQueue()).delete(owner, dataset)

    with monkeypatch.context() as dying:
        dying.setattr(web, "remove", dies)
        with pytest.raises(KeyboardInterrupt):
            delete()
    s3.stop()
    clear_leftovers(worker)
    s3.start()
    assert len(list(web.blobs())) == 2
    clear_leftovers(worker)
    assert list(web.blobs()) == []


def test_a_sweep_that_needs_the_store_settles_the_other_lost_runs_meanwhile(
    engine: Engine, owner: Identity, tmp_path: Path, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(KINDS, "run", Training())
    one, other = make_worker(engine, tmp_path / "one"), make_worker(engine, tmp_path / "other")
    stopping = add_run(engine, owner, bring(engine, owner, one.storage, make_worker(engine, tmp_path / "r", "cpu")), spec=SPEC)
    assert claim_and_run(one)
    lost = add_run(engine, owner, add_dataset(engine, owner))
    gone = {"lease_owner": "gone", "lease_expires_at": 1.0}
    with unit_of_work(engine) as session:
        session.execute(update(Run).where(Run.id == stopping).values(status="stopping", **gone))
        session.execute(update(Run).where(Run.id == lost).values(status="running", **gone))
    s3.stop()
    assert sweep(other) == 1
    assert (state(engine, stopping).status, state(engine, lost).status) == ("stopping", "queued")
    s3.start()
    assert sweep(other) == 1
    run = state(engine, stopping)
    assert run.status == "stopped"
    assert run.adapter is not None
