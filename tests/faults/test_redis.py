"""Redis is disposable: whatever happens to it while runs are queued, they are trained, and nobody who launches one waits for it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select

from app.config import Settings
from app.db import EventRow, Run
from app.db.session import reading, unit_of_work
from app.domain.specs import RunRequest
from app.gateways.queue import CeleryQueue
from app.main import make_studio
from app.services.accounts import Accounts, Identity
from tests.conftest import ROOT
from tests.faults.harness import trainer
from tests.faults.harness.fleet import Fleet
from tests.faults.harness.results import Recorder
from tests.faults.rung_worker import POLL_SECONDS
from tests.faults.servers import Redis
from tests.faults.stocked import add_rows

RUNS = 20
MOST_STARTS = 5
DEADLINE_SECONDS, PROMISED_SECONDS = 120.0, 30.0
"""How long runs may take after it is back; the small size shares its machine with other tests."""
ANSWER_SECONDS = 10.0
"""So long may a launch take while Redis is away: a generous limit, several times what its timeouts add up to."""


@dataclass
class Team:
    """A studio whose workers are rung by a Redis."""

    home: Path
    engine: Engine
    redis: Redis
    owner: Identity
    dataset_id: str

    def launch(self, number: int) -> None:
        """Launch runs as the web does."""
        studio = make_studio(Settings(home=self.home, redis_url=self.redis.url))
        for _ in range(number):
            with unit_of_work(self.engine) as session:
                request = RunRequest(name="run", base_model="hone-starter", dataset_id=self.dataset_id)
                studio.runs(session).launch(self.owner, request)
        studio.engine.dispose()

    def ring(self) -> bool:
        """Ring once more, as a launch does."""
        CeleryQueue(self.redis.url).ring("gpu")
        return True

    def ended(self) -> int:
        """Return how many runs have succeeded."""
        with reading(self.engine) as session:
            return session.scalar(select(func.count()).where(Run.status == "succeeded")) or 0

    def wait_for(self, number: int) -> None:
        """Wait until so many runs have succeeded."""
        assert Fleet.wait_for(lambda: self.ended() >= number, DEADLINE_SECONDS), f"{self.ended()} of {number} runs have ended"


def is_ready(process: subprocess.Popen[str]) -> bool:
    """Wait for the word of a worker that it is ready; False when it ended without."""
    assert process.stdout
    line = process.stdout.readline()
    return bool(line) and json.loads(line)["queue"] == "gpu"


@contextmanager
def rung_workers(team: Team, number: int, **environment: str) -> Iterator[None]:
    """Run workers that Celery rings for the time of a with block."""
    settings = {
        "HONE_HOME": str(team.home), "HONE_REDIS_URL": team.redis.url, "HONE_LEASE_SECONDS": "4", "PYTHONPATH": str(ROOT),
        trainer.STEPS: "6", trainer.STEP_SECONDS: "0.03", trainer.CHECKPOINT_EVERY: "3",
    }  # fmt: skip
    command = [sys.executable, "-m", "tests.faults.rung_worker", "--queue", "gpu", "--alone", "--json"]
    told = os.environ | settings | environment
    with ExitStack() as running, (team.home / "workers.log").open("ab") as log:

        def begin() -> subprocess.Popen[str]:
            return running.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env=told, text=True))

        processes = [begin() for _ in range(number)]
        try:
            # `hone worker` starts again what could not begin, as when others hold SQLite's lock for long.
            processes = [
                process if is_ready(process) else next(filter(is_ready, (begin() for _ in range(MOST_STARTS)))) for process in processes
            ]
            yield
        finally:
            for process in processes:
                process.send_signal(signal.SIGTERM)
            for process in processes:
                process.wait(DEADLINE_SECONDS)


@pytest.fixture
def team(tmp_path: Path, sqlite_engine: Engine) -> Iterator[Team]:
    """A studio with rows to train on, and a Redis."""
    with unit_of_work(sqlite_engine) as session:
        owner = Accounts(session).ensure_owner()
    with closing(Redis(tmp_path)) as server:
        yield Team(tmp_path, sqlite_engine, server, owner, add_rows(sqlite_engine, tmp_path, owner))


def flushed(server: Redis, _seconds: float) -> None:
    """It forgets everything."""
    server.flush()


def killed(server: Redis, _seconds: float) -> None:
    """It is killed, and back at once, empty."""
    server.kill()
    server.start()


def away(server: Redis, seconds: float) -> None:
    """It is down for a while."""
    server.kill()
    time.sleep(seconds)
    server.start()


def frozen(server: Redis, seconds: float) -> None:
    """It takes connections and answers none."""
    server.process.send_signal(signal.SIGSTOP)
    time.sleep(seconds)
    server.process.send_signal(signal.SIGCONT)


def test_queued_runs_are_trained_whatever_happens_to_redis(team: Team) -> None:
    with rung_workers(team, 2):
        for turn, fault in enumerate((flushed, killed, away)):
            endure(team, fault, seconds=6.0, already=RUNS * turn)


@pytest.mark.slow
@pytest.mark.parametrize("fault", [flushed, killed, away, frozen])
def test_queued_runs_are_trained_however_often_it_happens(team: Team, fault: Callable[[Redis, float], None], record: Recorder) -> None:
    times = 20
    with rung_workers(team, 2):
        slowest = max(endure(team, fault, seconds=60.0, already=RUNS * turn) for turn in range(times))
    assert slowest < PROMISED_SECONDS
    result = {"redis_was": fault.__name__, "runs_ended_once": team.ended(), "slowest_last_run_seconds_after": round(slowest, 1)}
    record("R8", n=times, result=result, database="sqlite")


def endure(team: Team, fault: Callable[[Redis, float], None], *, seconds: float, already: int) -> float:
    """Queue runs, let it happen while they wait, queue more, see all end once; return how long after it the last did."""
    team.launch(RUNS // 2)
    team.wait_for(already + 1)
    fault(team.redis, seconds)
    team.launch(RUNS - RUNS // 2)
    back = time.monotonic()
    team.wait_for(already + RUNS)
    with reading(team.engine) as session:
        ends = select(func.count()).where(EventRow.type == "succeeded").group_by(EventRow.subject_id)
        assert list(session.scalars(ends)) == [1] * (already + RUNS)
    return time.monotonic() - back


def test_the_bell_is_heard_again_once_redis_is_back(team: Team) -> None:
    with rung_workers(team, 1, **{POLL_SECONDS: "3600"}):
        # Nobody looks by himself: without a bell that is heard a run would wait for an hour.
        team.launch(1)
        assert Fleet.wait_for(lambda: team.ring() and team.ended() == 1, DEADLINE_SECONDS)
        away(team.redis, 2.0)
        team.launch(1)
        assert Fleet.wait_for(lambda: team.ring() and team.ended() == 2, DEADLINE_SECONDS)


@pytest.mark.parametrize("fault", ["killed", "frozen"])
def test_a_launch_does_not_wait_for_redis(team: Team, fault: str) -> None:
    if fault == "killed":
        team.redis.kill()
    else:
        team.redis.process.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    team.launch(1)
    assert time.monotonic() - began < ANSWER_SECONDS
    team.redis.process.send_signal(signal.SIGCONT)
    with reading(team.engine) as session:
        assert session.scalar(select(func.count()).where(Run.status == "queued")) == 1
