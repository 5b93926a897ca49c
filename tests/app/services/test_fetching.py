"""While a file is fetched from the store, however long that takes, no read of the database is open."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from app.config import Settings
from app.db import DatasetFile, Run
from app.db.artifacts import Artifact
from app.db.session import reading, unit_of_work
from app.gateways.storage import LocalStorage
from app.services.accounts import Identity
from app.services.datasets import Datasets
from app.services.models import Models
from tests.databases import add_dataset, add_import, add_run
from tests.silent_queue import SilentQueue
from workers import import_work, training_work
from workers.kinds import KINDS
from workers.worker import Worker


class Slow(LocalStorage):
    """A store that notes how many connections to the database are in use while it is asked for a file."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        super().__init__(folder)
        self.engine = engine
        self.in_use: list[Any] = []

    def path(self, sha256: str) -> Path:
        self._note()
        return self.folder / sha256

    def rows(self, sha256: str) -> Any:
        self._note()
        return self

    def adapter_folder(self, sha256: str) -> Path:
        return self.path(sha256)

    def page(self, *_: int) -> tuple[list[Any], bool]:
        return [], False

    def _note(self) -> None:
        pool: Any = self.engine.pool
        self.in_use.append(pool.checkedout())


class Bases:
    """A base that lies here."""

    def find(self, _: str) -> Any:
        return self

    folder = Path("/base")


def kept_for(owner: Identity) -> Artifact:
    return Artifact(project_id=owner.project_id, kind="adapter", filename="x", sha256="ab" * 32, size_bytes=1)


@pytest.fixture
def storage(engine: Engine, tmp_path: Path) -> Slow:
    return Slow(tmp_path / "store", engine)


@pytest.fixture
def dataset_id(engine: Engine, owner: Identity) -> str:
    return add_dataset(engine, owner)


def test_for_a_page_of_rows(engine: Engine, owner: Identity, storage: Slow, dataset_id: str) -> None:
    with reading(engine) as session:
        datasets = Datasets(session, storage, SilentQueue())
        datasets.rows(owner, dataset_id)
        assert datasets.get(owner, dataset_id).version is not None  # the session goes on
    assert storage.in_use == [0]


def test_for_a_model_that_is_to_answer(engine: Engine, owner: Identity, storage: Slow, dataset_id: str) -> None:
    run_id = add_run(engine, owner, dataset_id, model="run:1")
    with unit_of_work(engine) as session:
        session.get_one(Run, run_id).adapter = kept_for(owner)
    with reading(engine) as session:
        Models(session, storage, Bases()).resolve(owner, "run:1")  # type: ignore[arg-type]
    assert storage.in_use == [0]


@pytest.mark.parametrize("kind", ["import", "run"])
def test_for_work_that_begins(
    engine: Engine, owner: Identity, storage: Slow, dataset_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    for module in (import_work, training_work):
        monkeypatch.setattr(module, "Child", lambda *_, **__: None)
    worker = Worker(Settings(home=tmp_path), "gpu", 1, 2.0, engine, storage, "CPU", has_gpu=False)
    if kind == "run":
        work_id = add_run(engine, owner, dataset_id, spec={"settings": {}})
    else:
        work_id = add_import(engine, owner, dataset_id)
        with unit_of_work(engine) as session:
            session.add(DatasetFile(dataset_id=dataset_id, filename="x", upload=kept_for(owner), project_id=owner.project_id))
    KINDS[kind].prepare(worker, work_id, 1)
    assert storage.in_use == [0]
