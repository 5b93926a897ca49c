"""Messages to workers may be lost or doubled: they only say "look now", and workers look by themselves besides.

Real Redis, real workers that Celery rings; the sender throws half of its messages away and sends half of the others twice.
"""

from __future__ import annotations

import random
import time
from collections import Counter

import pytest
from sqlalchemy import select

from app.db import WorkerRow
from app.db.session import reading
from app.domain.bells import bell_of
from app.gateways.queue import CeleryQueue
from app.gateways.storage import LocalStorage
from tests.databases import add_run
from tests.faults.harness import trainer
from tests.faults.harness.chaos import be_patient
from tests.faults.harness.fleet import Fleet
from tests.faults.harness.history import kept_history, violations
from tests.faults.harness.results import Recorder
from tests.faults.rung_worker import FOUND, NOTHING, POLL_SECONDS, looks
from tests.faults.test_redis import Team, rung_workers, team
from tests.waiting import until

__all__ = ["team"]

STEPS = 2
SHORT = {trainer.STEPS: str(STEPS), trainer.STEP_SECONDS: "0.01"}
MOST_SECONDS_BETWEEN = 0.2
"""Launches come one by one, so that the queue is often empty and a lost message leaves a run waiting."""


class LossyBell:
    """Half of its messages are lost, and half of the others come twice."""

    def __init__(self, team: Team, chance: random.Random) -> None:
        self.bell, self.chance = CeleryQueue(team.redis.url), chance
        self.sent: Counter[str] = Counter()

    def ring(self) -> None:
        """Ring, perhaps."""
        what = self.chance.choices(["lost", "once", "twice"], [2, 1, 1])[0]
        self.sent[what] += 1
        for _ in range(["lost", "once", "twice"].index(what)):
            self.bell.ring("gpu")


def launch(team: Team) -> None:
    add_run(team.engine, team.owner, team.dataset_id, spec={"settings": {"tuning": "lora"}}, total_steps=STEPS)


@pytest.mark.parametrize("runs", [50, pytest.param(1000, marks=pytest.mark.slow)])
def test_runs_end_once_though_messages_are_lost_and_doubled(team: Team, seed: int, runs: int, record: Recorder) -> None:
    chance = random.Random(seed)  # noqa: S311 - chance that can be repeated
    bell = LossyBell(team, chance)
    be_patient(team.engine)
    with kept_history(team.engine), rung_workers(team, 2, **SHORT, **{POLL_SECONDS: "2"}):
        for _ in range(runs):
            launch(team)
            bell.ring()
            time.sleep(chance.uniform(0, MOST_SECONDS_BETWEEN))
        team.wait_for(runs)
    assert violations(team.engine, LocalStorage(team.home / "artifacts"), STEPS) == []
    assert bell.sent.keys() == {"lost", "once", "twice"}
    result = {"runs_ended_once": team.ended()} | {f"messages_{what}": number for what, number in sorted(bell.sent.items())}
    record("R12", n=runs, result=result, seed=seed, database="sqlite")


def is_heard(team: Team) -> bool:
    """Tell whether the worker says that it hears the bell."""
    with reading(team.engine) as session:
        return all(bell_of(row.facts).is_heard for row in session.scalars(select(WorkerRow)))


def test_a_lost_message_leaves_a_run_waiting_where_nobody_looks(team: Team) -> None:
    """The control: what saves a run whose message was lost is that workers look by themselves."""
    with rung_workers(team, 1, **SHORT, **{POLL_SECONDS: "3600"}):
        assert Fleet.wait_for(lambda: is_heard(team))
        launch(team)
        team.ring()
        team.wait_for(1)
        until(lambda: FOUND in looks(team.home) and looks(team.home)[-1] == NOTHING)  # its last look after that run
        launch(team)
        time.sleep(3.0)
        assert team.ended() == 1
        team.ring()
        team.wait_for(2)
