"""What a studio tells of its own health."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.config import Settings
from app.db import WorkerRow
from app.db.session import unit_of_work
from app.launcher import prepare
from app.main import create_app
from app.services.studio import Studio


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    settings = Settings(home=tmp_path, workers=False)
    prepare(settings)
    app = create_app(settings)
    yield TestClient(app, base_url="http://127.0.0.1")
    app.state.studio.engine.dispose()


def test_workers_that_died_without_a_word_are_not_counted_for_ever(client: TestClient) -> None:
    studio: Studio = client.app.state.studio  # type: ignore[attr-defined]
    with unit_of_work(studio.engine) as session:
        for updated_at in (time.time(), time.time() - 86_400):
            session.add(WorkerRow(host="here", pid=1, queue="cpu", device="CPU", updated_at=updated_at))
    assert "\nhone_workers 1\n" in client.get("/metrics").text
