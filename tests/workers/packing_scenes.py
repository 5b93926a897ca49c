"""A run whose checkpoints go into a store that two machines see: what tests of packing stand on."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from app.config import Settings
from app.db import CheckpointRow, Run
from app.db.leases import claim, held
from app.db.session import reading, unit_of_work
from app.domain.events import AnyEvent, Checkpoint
from app.domain.ports import Sealed
from app.gateways.storage import LocalStorage
from app.services.accounts import Identity
from tests.databases import add_dataset, add_run
from tests.waiting import until
from workers.packing import Packing
from workers.run_checkpoints import run_folder
from workers.training.checkpoints import Checkpoints
from workers.training_work import TrainingWork
from workers.worker import Worker

TOKEN = 1


def make_worker(engine: Engine, home: Path, store: Path) -> Worker:
    settings = Settings(home=home, storage_url=store.as_uri())
    return Worker(settings, "gpu", 1, 2.0, engine, LocalStorage(store), "CPU", has_gpu=False)


@pytest.fixture
def worker(engine: Engine, tmp_path: Path) -> Worker:
    return make_worker(engine, tmp_path / "one", tmp_path / "store")


@pytest.fixture
def elsewhere(engine: Engine, tmp_path: Path) -> Worker:
    """A worker of another machine: the same database and store, a home of its own."""
    return make_worker(engine, tmp_path / "other", tmp_path / "store")


@pytest.fixture
def run_id(engine: Engine, owner: Identity) -> str:
    made = add_run(engine, owner, add_dataset(engine, owner))
    with unit_of_work(engine) as session:
        claim(session, Run, "one", "gpu", has_gpu=False)
    return made


@pytest.fixture
def packs(worker: Worker, run_id: str) -> Packing:
    return Packing(worker, run_id, TOKEN)


def save(worker: Worker, run_id: str, step: int) -> Checkpoint:
    """Write a checkpoint as the trainer does, and tell of it."""
    folder = run_folder(worker, run_id)
    saved = Checkpoints(folder / "checkpoints", lease_token=TOKEN, keep=None).save(step, lambda at: _write(at, step))
    return Checkpoint(step=step, path=str(saved.relative_to(folder)))


def _write(staging: Path, step: int) -> None:
    (staging / "x").write_text(f"weights of step {step}")


def enter(worker: Worker, run_id: str, events: list[AnyEvent]) -> None:
    with unit_of_work(worker.engine) as session:
        TrainingWork().record(session, worker, held(session, Run, run_id, TOKEN), events)


def bring(packs: Packing, run_id: str, *steps: int) -> None:
    """Save checkpoints and see each through into the database and the store."""
    for step in steps:
        enter(packs.worker, run_id, packs.through([save(packs.worker, run_id, step)]))
        until(lambda: packs._under_way is None)
        enter(packs.worker, run_id, packs.through([]))


def blobs(worker: Worker) -> int:
    return sum(path.is_file() for path in (worker.storage.folder / "blobs").rglob("*"))


def uploading(worker: Worker) -> Callable[[Path], Sealed]:
    """Return a `seal` after which the file lies in the store, as with one on S3."""
    seal = worker.storage.seal

    def seal_and_upload(source: Path) -> Sealed:
        sealed = seal(source)
        place = worker.storage.folder / "blobs" / sealed.sha256[:2] / sealed.sha256
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, place)
        return sealed

    return seal_and_upload


def entered(worker: Worker) -> dict[int, tuple[str, bool]]:
    """Return the state of each checkpoint, and whether the store has it."""
    with reading(worker.engine) as session:
        return {row.step: (row.state, row.artifact_id is not None) for row in session.scalars(select(CheckpointRow))}
