"""Imports from the claim to the rows, with the real reading child: read again, deleted, and twins of one content."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from app.config import Settings
from app.db import Dataset, DatasetVersion
from app.db.session import reading, unit_of_work
from app.domain.datasets import Mapping
from app.domain.errors import StorageUnavailable
from app.domain.fixes import Mend
from app.domain.ports import Brought, Sealed
from app.gateways.storage import LocalStorage
from app.services.accounts import Identity
from app.services.datasets import Datasets
from app.services.desk import Desk
from tests.silent_queue import SilentQueue
from workers.claim import claim_and_run
from workers.import_work import ImportWork
from workers.worker import Worker

ROWS = '{"prompt": "a", "completion": "b"}\n{"prompt": "c", "completion": "d"}\n'


@pytest.fixture
def worker(engine: Engine, tmp_path: Path) -> Iterator[Worker]:
    made = Worker(Settings(home=tmp_path), "cpu", 1, 2.0, engine, LocalStorage(tmp_path / "artifacts"), "CPU", has_gpu=False)
    yield made
    made.leaving.set()


def upload(worker: Worker, by: Identity, content: str = ROWS, name: str = "rows.jsonl") -> str:
    """Upload a file."""
    file = worker.storage.incoming / "upload"
    file.write_text(content)
    with unit_of_work(worker.engine) as session:
        return Datasets(session, worker.storage, SilentQueue()).create(by, name=name, files=[Brought(name, file)]).id


def bring(worker: Worker, by: Identity, content: str = ROWS, name: str = "rows.jsonl") -> str:
    """Upload a file and have it read."""
    made = upload(worker, by, content, name)
    assert claim_and_run(worker)
    return made


def finish(worker: Worker) -> None:
    """Do all work that waits."""
    while claim_and_run(worker):
        pass


def state(worker: Worker, dataset_id: str) -> Dataset:
    with reading(worker.engine) as session:
        return session.get_one(Dataset, dataset_id)


def row_count(worker: Worker, by: Identity, dataset_id: str) -> int:
    with reading(worker.engine) as session:
        return len(Datasets(session, worker.storage, SilentQueue()).rows(by, dataset_id).items)


def with_aside(worker: Worker, dataset: Dataset) -> tuple[DatasetVersion, list[dict[str, Any]]]:
    """Return a dataset's version, and what was set aside of it."""
    assert dataset.version is not None
    aside = dataset.version.file("aside")
    assert aside is not None
    return dataset.version, [json.loads(line) for line in worker.storage.path(aside.sha256).read_text().splitlines()]


def blobs(worker: Worker) -> int:
    return sum(path.is_file() for path in (worker.storage.folder / "blobs").rglob("*"))


def test_reading_the_same_file_again_keeps_its_rows(worker: Worker, owner: Identity) -> None:
    dataset_id = bring(worker, owner)
    for number in (2, 3):
        with unit_of_work(worker.engine) as session:
            Datasets(session, worker.storage, SilentQueue()).remap(owner, dataset_id, None, None)
        assert claim_and_run(worker)
        with reading(worker.engine) as session:
            version = session.get_one(Dataset, dataset_id).version
            assert version is not None
            assert version.number in {1, number}
        assert row_count(worker, owner, dataset_id) == 2
    assert blobs(worker) == 2


def test_a_commit_that_fails_after_the_rows_moved_is_done_again(worker: Worker, owner: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    keep = ImportWork.keep
    failed: list[bool] = []

    def fails_once(*given: Any) -> None:
        keep(*given)
        if not failed:
            failed.append(True)
            raise OperationalError("COMMIT", {}, Exception("server closed the connection"))

    monkeypatch.setattr(ImportWork, "keep", fails_once)
    dataset_id = bring(worker, owner)
    assert (state(worker, dataset_id).status, row_count(worker, owner, dataset_id), blobs(worker)) == ("ready", 2, 2)


def test_rows_that_the_store_has_lost_since_they_were_sealed_are_sealed_again(
    worker: Worker, owner: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    seal, put = LocalStorage.seal, LocalStorage.put
    sealed: list[Path] = []

    def note(self: LocalStorage, source: Path) -> Sealed:
        sealed.append(source)
        return seal(self, source)

    def lost_at_first(self: LocalStorage, given: Sealed) -> None:
        if len(sealed) == 1:
            raise StorageUnavailable("The store has lost a file that was just brought.")
        put(self, given)

    monkeypatch.setattr(LocalStorage, "seal", note)
    dataset_id = upload(worker, owner)
    sealed.clear()
    monkeypatch.setattr(LocalStorage, "put", lost_at_first)
    assert claim_and_run(worker)
    assert (state(worker, dataset_id).status, len(sealed)) == ("ready", 2)


def test_twins_share_their_bytes_until_the_last_is_deleted(worker: Worker, owner: Identity) -> None:
    first, second = upload(worker, owner), upload(worker, owner)
    assert claim_and_run(worker)
    assert claim_and_run(worker)
    assert blobs(worker) == 2
    for dataset_id, left in ((first, 2), (second, 0)):
        with unit_of_work(worker.engine) as session:
            Datasets(session, worker.storage, SilentQueue()).delete(owner, dataset_id)
        assert blobs(worker) == left
    assert not list(worker.storage.incoming.iterdir())


def test_a_mapping_that_leaves_no_row_can_be_mended(worker: Worker, owner: Identity) -> None:
    dataset_id = bring(worker, owner, "x,y,z\n" + "".join(f"q{n},r{n},\n" for n in range(5)), "table.csv")
    assert state(worker, dataset_id).status == "needs_mapping"
    for answer, status in (("z", "failed"), ("y", "ready")):
        with unit_of_work(worker.engine) as session:
            Datasets(session, worker.storage, SilentQueue()).remap(owner, dataset_id, Mapping(user="x", assistant=answer), None)
        assert claim_and_run(worker)
        assert state(worker, dataset_id).status == status
    assert row_count(worker, owner, dataset_id) == 5


def test_a_dataset_deleted_before_it_was_read_leaves_nothing(worker: Worker, owner: Identity) -> None:
    upload = worker.storage.incoming / "upload"
    upload.write_text(ROWS)
    with unit_of_work(worker.engine) as session:
        datasets = Datasets(session, worker.storage, SilentQueue())
        datasets.delete(owner, datasets.create(owner, name="x", files=[Brought("x.jsonl", upload)]).id)
    assert not claim_and_run(worker)
    assert blobs(worker) == 0


def test_rows_that_are_added_leave_what_was_set_aside_before_to_be_mended(worker: Worker, owner: Identity) -> None:
    dataset_id = bring(worker, owner, ROWS + "not json\n")
    finish(worker)
    more = worker.storage.incoming / "more"
    more.write_text('{"prompt": "e", "completion": "f"}\n{"prompt": "g"}\n')
    with unit_of_work(worker.engine) as session:
        Datasets(session, worker.storage, SilentQueue()).append(owner, dataset_id, [Brought("more.jsonl", more)])
    finish(worker)
    with reading(worker.engine) as session:
        dataset = session.get_one(Dataset, dataset_id)
        version, kept = with_aside(worker, dataset)
        assert (version.rows, dataset.report["problem_count"]) == (3, 2)
    assert [(row["file"], row["line"], row["text"]) for row in kept] == [(0, 3, "not json"), (1, 2, kept[1]["text"])]


def test_of_an_archive_one_row_is_mended_while_those_on_the_same_line_wait(worker: Worker, owner: Identity) -> None:
    packed = worker.storage.incoming / "packed"
    with zipfile.ZipFile(packed, "w") as archive:
        for name in ("a", "b"):
            archive.writestr(f"{name}.jsonl", ROWS.replace("\n", f"\n{{broken {name}\n", 1))
    with unit_of_work(worker.engine) as session:
        dataset_id = Datasets(session, worker.storage, SilentQueue()).create(owner, name="x", files=[Brought("x.zip", packed)]).id
    finish(worker)
    mended = Mend(number=2, text='{"prompt": "mended", "completion": "b"}')
    with unit_of_work(worker.engine) as session:
        Desk(session, worker.storage, Datasets(session, worker.storage, SilentQueue())).fix(owner, dataset_id, mended)
    finish(worker)
    with reading(worker.engine) as session:
        dataset = session.get_one(Dataset, dataset_id)
        version, (left,) = with_aside(worker, dataset)
        assert (version.rows, dataset.report["aside"], dataset.report["problem_count"]) == (5, {"broken": 1}, 1)
        assert [problem["reason"][-12:] for problem in dataset.report["problems"]] == ["(in a.jsonl)"]
    assert (left["number"], left["text"]) == (1, "{broken a")
