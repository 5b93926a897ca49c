"""Live pages keep up with runs that write all the time, and lose no event, on either database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from sqlalchemy import update

from app.config import Settings
from app.db import Run
from app.db.base import database_clock
from app.db.session import make_engine, unit_of_work
from app.domain.runs import RunStatus
from app.domain.specs import TrainingSettings
from app.services.accounts import Accounts
from bench.dashboards import Load, measure
from tests.databases import add_dataset, add_run
from tests.faults.harness.results import record
from tests.faults.servers import PostgreSql
from tools.running import RunningStudio, running_studio

BUSY, QUIET = 10, 10
GENEROUS_SECONDS = 10.0


@pytest.fixture(params=["sqlite", "postgresql"])
def studio(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningStudio]:
    """One web process on each kind of database."""
    server = PostgreSql(tmp_path / "pg") if request.param == "postgresql" else None
    if server:
        monkeypatch.setenv("HONE_DATABASE_URL", server.url)
    with running_studio(tmp_path / "home", HONE_WORKERS="false") as studio:
        yield studio
    if server:
        server.close()


def running_runs(studio: RunningStudio) -> tuple[str, list[str]]:
    """Enter runs that a worker holds; return the database and their ids."""
    settings = Settings(home=studio.home)
    engine = make_engine(settings.database)
    with unit_of_work(engine) as session:
        owner = Accounts(session).ensure_owner()
    dataset_id = add_dataset(engine, owner)
    spec = {"base_model": "hone-starter", "dataset": "rows", "settings": TrainingSettings().model_dump(mode="json")}
    runs = [add_run(engine, owner, dataset_id, spec=spec, total_steps=100_000) for _ in range(BUSY + QUIET)]
    with unit_of_work(engine) as session:
        session.execute(update(Run).values(status=RunStatus.RUNNING, lease_token=1, lease_expires_at=database_clock() + 3600))
    engine.dispose()
    return settings.database, runs


def web_of(studio: RunningStudio) -> psutil.Process:
    """Return the process that answers."""
    family = psutil.Process(studio.process.pid).children(recursive=True)
    return next(process for process in family if "app.main" in process.cmdline())


@pytest.mark.parametrize(("streams", "seconds"), [(50, 20.0), pytest.param(200, 60.0, marks=pytest.mark.slow)])
def test_live_pages_keep_up_and_lose_no_event(
    studio: RunningStudio, streams: int, seconds: float, seed: int, request: pytest.FixtureRequest
) -> None:
    database, runs = running_runs(studio)
    load = Load(studio.address, database, runs[:BUSY], runs[BUSY:], streams, seconds, seed)
    found = measure(load, web_of(studio))
    result = {"dropped": found["dropped"], "update": found["update_seconds"], "page": found["page_seconds"], "web_mib": found["web_mib"]}
    kind = "sqlite" if database.startswith("sqlite") else "postgresql"
    record("L1", test=f"test_dashboards.py::{request.node.name}", n=streams, result=result, seed=seed, database=kind)
    print(found)
    assert found["opened"] == streams
    assert found["dropped"] == 0
    assert found["told"] > streams * seconds
    is_large = request.node.get_closest_marker("slow") is not None
    assert found["update_seconds"]["p95"] < (2.0 if is_large else GENEROUS_SECONDS)
    assert found["page_seconds"]["p95"] < (0.5 if is_large else GENEROUS_SECONDS)
