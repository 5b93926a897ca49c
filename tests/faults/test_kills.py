"""Workers and trainers that are killed or frozen at random: no run is lost, none ends twice, and what slept too long writes nothing.

Real are the workers (claim, lease, heartbeat, fence, sweep, checkpoints, store), their processes and the signals; only the trainer is one
that counts instead of computing. What is checked is what the database itself wrote down of every change.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from pathlib import Path

import pytest
from sqlalchemy import Engine

from app.config import Settings
from app.db import Webhook
from app.db.session import unit_of_work
from app.domain.webhooks import Ending
from app.gateways.storage import LocalStorage
from app.services.accounts import Identity
from tests.faults.harness.chaos import KILLS, SLEEPS, Chaos
from tests.faults.harness.fleet import Fleet, Pace
from tests.faults.harness.guards import ASK, END, GUARDS, NOTICE, WRITE
from tests.faults.harness.history import kept_history, refused_writes, violations
from tests.faults.harness.results import Recorder
from tests.faults.stocked import add_rows

MACHINES = ("one", "one", "two", "three")
"""Where the four workers are. On their own machine workers see at once who is dead; on another only by the lease."""
PACE = Pace()
MANY_KILLS = 300
PROMISED_SECONDS, GENEROUS_SECONDS = PACE.lease_seconds + 30.0, 150.0
"""How long after a kill its run may wait; the small size shares its machine with other tests, and gets five times that."""


@pytest.fixture
def history(engine: Engine) -> Iterator[None]:
    with kept_history(engine):
        yield


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(Settings(home=tmp_path).store)


@pytest.fixture
def nemesis(engine: Engine, owner: Identity, tmp_path: Path, history: None, seed: int) -> Chaos:
    dataset_id = add_rows(engine, tmp_path, owner)
    with unit_of_work(engine) as session:
        known = {"url": "https://example.com", "studio_address": "http://studio", "secret": "x", "secret_key_id": "x"}
        session.add(Webhook(project_id=owner.project_id, events=list(Ending), **known))
    fleet = Fleet(engine.url.render_as_string(hide_password=False), tmp_path, PACE)
    return Chaos(fleet, engine, owner, dataset_id, random.Random(seed))  # noqa: S311 - chance that can be repeated


@pytest.mark.parametrize("kills", [30, pytest.param(MANY_KILLS, marks=pytest.mark.slow)])
def test_no_run_is_lost_or_finished_twice(
    nemesis: Chaos, engine: Engine, storage: LocalStorage, seed: int, kills: int, record: Recorder
) -> None:
    with nemesis.fleet as fleet:
        fleet.start(*MACHINES)
        nemesis.rage(KILLS | SLEEPS, lambda: nemesis.kills >= kills, pause=(0.05, 0.4))
        assert nemesis.ends()
    found, database = violations(engine, storage, PACE.steps), engine.dialect.name
    assert found == []
    assert fleet.orphans() == []
    recovery, refused = nemesis.recovery(), refused_writes(engine)
    if kills == MANY_KILLS:
        assert refused > 0
        assert recovery["longest_seconds"] < PROMISED_SECONDS
    assert recovery["longest_seconds"] < GENEROUS_SECONDS
    result = {"runs": nemesis.runs(), "lost_or_ended_twice": len(found), "writes_refused": refused, "sleeps": nemesis.sleeps}
    record("R1", n=kills, result=result, seed=seed, database=database)
    record("R5", n=kills, result=recovery | {"lease_seconds": PACE.lease_seconds}, seed=seed, database=database)


@pytest.mark.parametrize("sleeps", [10, pytest.param(300, marks=pytest.mark.slow)])
def test_a_worker_that_slept_past_its_lease_writes_nothing(
    nemesis: Chaos, engine: Engine, storage: LocalStorage, seed: int, sleeps: int, record: Recorder
) -> None:
    # Nobody notices by himself that he slept too long, so whoever wakes up does write: only the token with every write is left.
    nemesis.fleet.without = (ASK, NOTICE)
    with nemesis.fleet as fleet:
        fleet.start(*MACHINES)
        nemesis.rage(SLEEPS, lambda: nemesis.sleeps >= sleeps, pause=(0.1, 0.6))
        assert nemesis.ends()
    found, refused = violations(engine, storage, PACE.steps), refused_writes(engine)
    assert found == []
    assert fleet.orphans() == []
    assert refused > 0
    result = {"runs": nemesis.runs(), "writes_refused": refused, "wrong_writes": len(found)}
    record("R2", n=sleeps, result=result, seed=seed, database=engine.dialect.name)


FOREIGN, TWICE = "a number came from a holder that was not the holder any more", "a run ended more than once"
DUEL = Pace(step_seconds=0.2)
"""So slow that another worker is still at a run when its holder wakes up and writes all that its trainer has said meanwhile."""
MOST_DUELS, DUEL_SECONDS, LATE_SECONDS = 6, 10.0, 3.0


def duels(nemesis: Chaos, without: Sequence[str], number: int, is_enough: Callable[[], bool]) -> None:
    """Have workers lack some guards, and two of them hold one run again and again."""
    nemesis.fleet.without, nemesis.fleet.pace = tuple(without), DUEL
    with nemesis.fleet as fleet:
        fleet.start("one", "two")
        for _ in range(number):
            nemesis.duel(DUEL_SECONDS)
            if fleet.wait_for(is_enough, LATE_SECONDS):
                break
        else:
            fleet.wait_for(nemesis.all_ended, DUEL_SECONDS)
        fleet.abandon()


@pytest.mark.parametrize(("without", "may_not_be"), [((WRITE, ASK, NOTICE), {FOREIGN}), (GUARDS, {FOREIGN, TWICE})])
def test_without_the_fence_the_checker_finds_what_may_not_be(
    nemesis: Chaos, engine: Engine, storage: LocalStorage, without: Sequence[str], may_not_be: set[str]
) -> None:
    """The control: without token and notice numbers of others come in; if runs may move after their end besides, some end twice."""

    def found() -> set[str]:
        return {violation.partition(":")[0] for violation in violations(engine, storage, DUEL.steps)}

    duels(nemesis, without, MOST_DUELS, lambda: may_not_be <= found())
    assert may_not_be <= found()


@pytest.mark.slow
@pytest.mark.parametrize("without", [chosen for number in (1, 2, 3) for chosen in combinations((ASK, NOTICE, END), number)])
def test_the_token_with_every_write_is_enough(nemesis: Chaos, engine: Engine, storage: LocalStorage, without: Sequence[str]) -> None:
    """The other guards spare work and time. Without the token they nearly always do, but they go by time, and that is no promise."""
    duels(nemesis, without, MOST_DUELS, lambda: False)
    assert violations(engine, storage, DUEL.steps) == []
    assert refused_writes(engine) > 0
