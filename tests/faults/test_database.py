"""A database that restarts, goes away, hangs or is locked: no run is lost, nobody hangs, and everything goes on by itself."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.pool import QueuePool

from app.config import Settings
from app.db import Run, WorkerRow
from app.db.session import UNREACHABLE, make_engine, reading, unit_of_work
from app.main import create_app, make_studio
from app.services.accounts import Accounts, Identity
from app.services.studio import Studio
from tests.databases import add_run
from tests.faults.harness.fleet import Fleet, Pace
from tests.faults.harness.history import kept_history, violations
from tests.faults.harness.results import Recorder
from tests.faults.onlookers import PATHS, Onlookers
from tests.faults.servers import PostgreSql
from tests.faults.stocked import add_rows
from tests.waiting import until
from tools.running import RunningStudio, running_studio

PACE = Pace(steps=40, step_seconds=0.05, lease_seconds=4.0)
RUNS = 4
ANSWER_SECONDS, GENEROUS_SECONDS = 10.0, 50.0
"""How soon people are answered, whatever is the matter; the small size shares its machine with other tests."""
DEADLINE_SECONDS = 120.0
LARGE_SECONDS = 30.0


@dataclass
class Team:
    """A web process, and workers that are started by a test, on one database."""

    studio: RunningStudio
    engine: Engine
    owner: Identity
    dataset_id: str

    def fleet(self) -> Fleet:
        """Give workers that believe to be on two machines."""
        return Fleet(self.engine.url.render_as_string(hide_password=False), self.studio.home, PACE)

    def launch(self, number: int) -> None:
        """Queue runs."""
        for _ in range(number):
            add_run(self.engine, self.owner, self.dataset_id, spec={"settings": {"tuning": "lora"}}, total_steps=PACE.steps)

    def count(self, column: InstrumentedAttribute[str], value: str) -> int:
        """Return how many runs or workers are so; 0 while the database is away."""
        with suppress(*UNREACHABLE), reading(self.engine) as session:
            return session.scalar(select(func.count()).where(column == value)) or 0
        return 0

    def broken_promises(self) -> list[str]:
        """Return what happened to the runs that may not."""
        return violations(self.engine, make_studio(Settings(home=self.studio.home)).storage, PACE.steps)


def a_team(home: Path, **settings: str) -> Iterator[Team]:
    """Run a studio without workers on a database, with rows to train on."""
    with running_studio(home, HONE_WORKERS="false", **settings) as studio:
        engine = make_engine(Settings(home=home).database)
        with unit_of_work(engine) as session:
            owner = Accounts(session).ensure_owner()
        with kept_history(engine):
            yield Team(studio, engine, owner, add_rows(engine, home, owner))
        engine.dispose()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[PostgreSql]:
    """A PostgreSQL of the test's own, which every process here uses."""
    with closing(PostgreSql()) as server:
        monkeypatch.setenv("HONE_DATABASE_URL", server.url)
        yield server


@pytest.fixture
def team(server: PostgreSql, tmp_path: Path) -> Iterator[Team]:
    """A studio on that PostgreSQL."""
    yield from a_team(tmp_path / "home")


@pytest.fixture
def small_team(tmp_path: Path) -> Iterator[Team]:
    """A studio on SQLite."""
    yield from a_team(tmp_path / "home")


def restarted(server: PostgreSql, _seconds: float) -> None:
    """It crashes and is back at once."""
    server.restart()


def away(server: PostgreSql, seconds: float) -> None:
    """It crashes and is down for a while."""
    server.stop()
    time.sleep(seconds)
    server.start()


def frozen(server: PostgreSql, seconds: float) -> None:
    """It takes connections and answers nothing."""
    server.freeze(seconds)


FAULTS = (restarted, away, frozen)


@pytest.mark.parametrize(("times", "seconds"), [(1, 10.0), pytest.param(7, 60.0, marks=pytest.mark.slow)])
def test_a_database_that_is_gone_for_a_while_loses_nothing(
    team: Team, server: PostgreSql, times: int, seconds: float, record: Recorder
) -> None:
    with team.fleet() as fleet, Onlookers(team.studio.address, team.studio.key) as onlookers:
        fleet.start("one", "two")
        assert fleet.wait_for(lambda: team.count(WorkerRow.queue, "gpu") == len(fleet.members), DEADLINE_SECONDS)
        for turn, fault in enumerate(FAULTS * times):
            team.launch(RUNS)
            assert fleet.wait_for(lambda: team.count(Run.status, "running") > 0, DEADLINE_SECONDS)
            fault(server, seconds)
            back, wanted = time.monotonic(), RUNS * (turn + 1)
            assert fleet.wait_for(lambda: team.count(Run.status, "succeeded") == wanted, DEADLINE_SECONDS), fault  # noqa: B023
            until(lambda: max(onlookers.rung, default=0.0) > back)  # noqa: B023 - the live page recovers by itself
            until(lambda: set(onlookers.latest().values()) == {200})
        assert all(psutil.pid_exists(worker.pid) for worker in fleet.members)
    assert team.broken_promises() == []
    assert fleet.orphans("tests.faults") == []
    check_answers(onlookers, ANSWER_SECONDS if times > 1 else GENEROUS_SECONDS)
    assert all(onlookers.told_to_wait(path) for path in PATHS)
    result = {"runs_ended_once": team.count(Run.status, "succeeded"), "slowest_answer_seconds": round(onlookers.slowest, 1)}
    record("R9", n=len(FAULTS) * times, result=result, database="postgresql")


def check_answers(onlookers: Onlookers, within_seconds: float) -> None:
    """See that everybody was answered in time with what they asked for or the word to try again, and in the end with the former."""
    assert onlookers.unexpected() == []
    assert onlookers.slowest < within_seconds
    assert onlookers.latest() == dict.fromkeys(PATHS, 200)


@pytest.mark.parametrize("seconds", [10.0, pytest.param(LARGE_SECONDS, marks=pytest.mark.slow)])
def test_a_file_that_stays_locked_loses_nothing(small_team: Team, seconds: float, record: Recorder) -> None:
    with small_team.fleet() as fleet, Onlookers(small_team.studio.address, small_team.studio.key) as onlookers:
        fleet.start("one", "two")
        small_team.launch(RUNS)
        assert fleet.wait_for(lambda: small_team.count(Run.status, "running") > 0, DEADLINE_SECONDS)
        with closing(sqlite3.connect(small_team.studio.home / "hone.db", isolation_level=None, timeout=60)) as greedy:
            greedy.execute("BEGIN EXCLUSIVE")
            time.sleep(seconds)
        assert fleet.wait_for(lambda: small_team.count(Run.status, "succeeded") == RUNS, DEADLINE_SECONDS)
        until(lambda: set(onlookers.latest().values()) == {200})
    assert small_team.broken_promises() == []
    check_answers(onlookers, GENEROUS_SECONDS if seconds < LARGE_SECONDS else ANSWER_SECONDS)
    assert all(onlookers.told_to_wait(path) for path in PATHS)
    result = {"runs_ended_once": small_team.count(Run.status, "succeeded"), "slowest_answer_seconds": round(onlookers.slowest, 1)}
    record("R9", n=1, result=result | {"seconds_locked": seconds}, database="sqlite")


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"], indirect=True)
def test_who_finds_no_connection_free_is_told_so_in_time(engine: Engine, owner: Identity, tmp_path: Path) -> None:
    app = create_app(Settings(home=tmp_path, database_url=engine.url.render_as_string(hide_password=False)))
    studio: Studio = app.state.studio
    with unit_of_work(engine) as session:
        _, key = Accounts(session).create_key(owner, "test")
    with TestClient(app, base_url="http://127.0.0.1", headers={"Authorization": f"Bearer {key}"}) as browser, ExitStack() as taken:
        pool = studio.engine.pool
        assert isinstance(pool, QueuePool)
        for _ in range(pool.size() + pool._max_overflow):
            taken.enter_context(studio.engine.connect())
        began = time.monotonic()
        answers = [browser.get(path) for path in ("/", "/api/v1/runs")]
        assert [(answer.status_code, "Retry-After" in answer.headers) for answer in answers] == [(503, True), (503, True)]
        assert time.monotonic() - began < 2 * ANSWER_SECONDS
        taken.close()
        assert browser.get("/").status_code == 200
