"""Rows fetched from outside through a worker, with the real child: from an address, the Hub and S3."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select

from app.config import Settings
from app.db import AuditEntry, Dataset
from app.db.session import reading, unit_of_work
from app.domain.sources import HubSource, S3Source, Source, UrlSource
from app.gateways.storage import LocalStorage
from app.services.accounts import Identity
from app.services.datasets import Datasets
from tests.hub_server import COMMIT, hub
from tests.s3_server import BUCKET, S3Server, s3
from tests.silent_queue import SilentQueue
from tests.workers.curation.file_server import file_server
from workers.claim import claim_and_run
from workers.worker import Worker

__all__ = ["s3"]

ROWS = '{"prompt": "a", "completion": "b"}\n{"prompt": "c", "completion": "d"}\n'


@pytest.fixture
def worker(engine: Engine, tmp_path: Path) -> Iterator[Worker]:
    settings = Settings(home=tmp_path, fetch_private=True)
    made = Worker(settings, "cpu", 1, 2.0, engine, LocalStorage(tmp_path / "artifacts"), "CPU", has_gpu=False)
    yield made
    made.leaving.set()


def brought(worker: Worker, by: Identity, source: Source) -> tuple[str, str, dict[str, Any], int]:
    """Have a source fetched and read; give the dataset's status and reason, the first file's origin, and the rows."""
    with unit_of_work(worker.engine) as session:
        dataset_id = Datasets(session, worker.storage, SilentQueue()).create_from(by, name="rows", source=source).id
    while claim_and_run(worker):
        pass
    with reading(worker.engine) as session:
        dataset = session.get_one(Dataset, dataset_id)
        origin = dataset.files[0].origin if dataset.files else {}
        return str(dataset.status), dataset.reason, dict(origin or {}), dataset.version.rows if dataset.version else 0


def left(worker: Worker) -> list[str]:
    return [path.name for path in worker.storage.incoming.iterdir()]


def test_a_file_at_an_address_becomes_a_dataset(worker: Worker, owner: Identity) -> None:
    with file_server() as server:
        server.content = ROWS.encode()
        status, _, origin, rows = brought(worker, owner, UrlSource(url=server.address + "?token=hunter2"))
    assert (status, rows, origin["url"]) == ("ready", 2, server.address + "?…")
    assert left(worker) == []
    assert "hunter2" not in json.dumps(origin)


def test_an_address_that_gives_nothing_leaves_a_reason_and_no_file(worker: Worker, owner: Identity) -> None:
    with file_server() as server:
        server.statuses = [404]
        status, reason, _, _ = brought(worker, owner, UrlSource(url=server.address))
    assert (status, "There is nothing at this address" in reason) == ("failed", True)
    assert left(worker) == []
    with reading(worker.engine) as session:
        noted = {entry.action: entry.details for entry in session.scalars(select(AuditEntry))}
    assert noted["outside.asked"]["source"] == server.address
    assert noted["outside.contacted"]["hosts"] == ["127.0.0.1"]


def test_a_private_dataset_of_the_hub_becomes_one_here(
    worker: Worker, owner: Identity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "repo").mkdir()
    for name in ("train.jsonl", "test.jsonl"):
        (tmp_path / "repo" / name).write_text(ROWS)
    with hub({}, {"lab/rows": tmp_path / "repo"}) as server:
        server.private.add("lab/rows")
        for name, value in {"HF_ENDPOINT": server.address, "HF_TOKEN": "hf_right", "HF_HUB_OFFLINE": "0"}.items():
            monkeypatch.setenv(name, value)
        status, reason, origin, rows = brought(worker, owner, HubSource(repo="lab/rows"))
    assert (status, rows, origin["revision"], origin["split"]) == ("ready", 4, COMMIT, "test"), reason
    found = [path for path in tmp_path.rglob("*") if path.is_file() and b"hf_right" in path.read_bytes()]
    assert found == []


def test_a_folder_on_s3_becomes_a_dataset(worker: Worker, owner: Identity, s3: S3Server) -> None:
    for key in ("set/a.jsonl", "set/b.jsonl"):
        s3.client.put_object(Bucket=BUCKET, Key=key, Body=ROWS.encode())
    status, reason, origin, rows = brought(worker, owner, S3Source(url=f"s3://{BUCKET}/set/"))
    assert (status, rows, origin["url"]) == ("ready", 4, f"s3://{BUCKET}/set/a.jsonl"), reason
