"""The nemesis: keeps workers busy with runs, and kills them and puts them to sleep at random until it has had enough."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import quantiles
from typing import Any

from sqlalchemy import Engine, event, func, select

from app.db import Run
from app.db.session import reading
from app.domain.runs import ENDED, LEASED
from app.services.accounts import Identity
from tests.databases import add_run
from tests.faults.harness.fleet import Fleet, send
from tests.faults.harness.history import next_start

BUSY_RUNS = 4
"""So many runs are kept unfinished until the last strike: as many as there are workers, so that a run given back waits for none of them."""
END_SECONDS = 180.0
"""A generous deadline for all runs to come to their ends after the last strike."""
PATIENCE = {"sqlite": "PRAGMA busy_timeout = 60000", "postgresql": "SET lock_timeout = 60000"}
KILLS = {"kill the worker": 5, "kill the trainer": 2, "kill both": 2}
SLEEPS = {"freeze the worker": 1, "freeze both": 1}
"""What may happen to a busy worker, and how often beside the others."""


def be_patient(engine: Engine) -> None:
    """Have a test wait for a lock for long: a worker that was frozen while it wrote keeps SQLite's until it wakes; workers try again."""

    def wait_long(connection: Any, _: object) -> None:
        connection.execute(PATIENCE[engine.dialect.name])
        connection.commit()  # what PostgreSQL is told within a transaction goes with it

    event.listen(engine, "connect", wait_long)
    engine.dispose()


@dataclass
class Hit:
    """A kill of a worker: which claim it hit, and when. (That of a trainer comes to nothing where it has said all it had to.)"""

    run_id: str
    token: int
    at: float


@dataclass
class Chaos:
    """Strikes of one test."""

    fleet: Fleet
    engine: Engine
    owner: Identity
    dataset_id: str
    random: random.Random
    done: Counter[str] = field(default_factory=Counter)
    hits: list[Hit] = field(default_factory=list)

    def __post_init__(self) -> None:
        be_patient(self.engine)

    def rage(self, strikes: dict[str, int], enough: Callable[[], bool], *, pause: tuple[float, float]) -> None:
        """Strike until it is enough."""
        while not enough():
            self.fleet.replace_the_dead()
            self.keep_busy()
            self.strike(self.random.choices(list(strikes), list(strikes.values()))[0])
            time.sleep(self.random.uniform(*pause))

    def ends(self, within_seconds: float = END_SECONDS) -> bool:
        """Wait until every run has ended and everybody is awake; False when that does not come to be."""
        return self.fleet.wait_for(self.all_ended, within_seconds)

    def all_ended(self) -> bool:
        """Tell whether every run has ended and everybody is awake."""
        self.fleet.replace_the_dead()
        return len(self.fleet.awake) == len(self.fleet.members) and self.unfinished() == 0

    @property
    def kills(self) -> int:
        """How often something was killed."""
        return sum(self.done[kill] for kill in KILLS)

    @property
    def sleeps(self) -> int:
        """How often a worker slept past its lease."""
        return sum(self.done[sleep] for sleep in SLEEPS)

    def runs(self) -> int:
        """Count the runs there were."""
        with reading(self.engine) as session:
            return session.scalar(select(func.count()).select_from(Run)) or 0

    def unfinished(self) -> int:
        """Count the runs that have not ended."""
        with reading(self.engine) as session:
            return session.scalar(select(func.count()).select_from(Run).where(Run.status.not_in(ENDED))) or 0

    def keep_busy(self) -> None:
        """Add runs until enough are unfinished."""
        for _ in range(BUSY_RUNS - self.unfinished()):
            self.add_run()

    def add_run(self) -> str:
        """Queue a run and return its id."""
        spec = {"settings": {"tuning": "lora"}}
        return add_run(self.engine, self.owner, self.dataset_id, spec=spec, total_steps=self.fleet.pace.steps)

    def strike(self, what: str) -> None:
        """Do something to one of the workers that hold a run and do not sleep."""
        held = select(Run.id, Run.lease_token, Run.lease_owner).where(Run.status.in_(LEASED), Run.lease_owner.in_(self.fleet.awake))
        with reading(self.engine) as session:
            busy = session.execute(held.order_by(Run.id)).all()
        if not busy:
            return
        run_id, token, owner = self.random.choice(busy)
        member = self.fleet.awake[str(owner)]
        trainers = member.trainers()
        if what == "kill the trainer" and not trainers:
            return  # between a claim and the trainer's start, or after its end
        self.done[what] += 1
        if what in SLEEPS:
            asleep = self.random.uniform(1.2, 1.6) * self.fleet.pace.lease_seconds
            self.fleet.freeze(member, asleep, trainer_too=what == "freeze both")
            return
        if what != "kill the trainer":
            self.hits.append(Hit(run_id, token, time.time()))
            self.fleet.kill(member)
        if what != "kill the worker":
            send(trainers, signal.SIGKILL)

    def duel(self, within_seconds: float) -> None:
        """Stop the worker of a run until another one trains that run, then let both go on; within the given time at the latest.

        The trainer of the stopped one goes on, so that it has much to write when it wakes up, and an end to tell.
        """
        self.fleet.replace_the_dead()
        run_id = self.add_run()
        self.fleet.wait_for(lambda: self._holder(run_id, step=1) is not None)
        token, owner = self._holder(run_id) or (0, "")
        member = self.fleet.awake[owner]
        self.fleet.freeze(member, within_seconds, trainer_too=False)
        self.fleet.wait_for(lambda: (self._holder(run_id, step=1) or (0, ""))[0] > token, within_seconds)
        self.fleet.wake(member)

    def _holder(self, run_id: str, step: int = 0) -> tuple[int, str] | None:
        """Return token and worker of a run that trains and has come so far."""
        query = select(Run.lease_token, Run.lease_owner).where(Run.id == run_id, Run.status == "running", Run.step >= step)
        with reading(self.engine) as session:
            found = session.execute(query).one_or_none()
        return (found.lease_token, str(found.lease_owner)) if found else None

    def recovery(self) -> dict[str, Any]:
        """Return how long after a worker's kill its run was claimed again, in seconds, where the kill came before the run's end."""
        waits = [next_start(self.engine, hit.run_id, hit.token) for hit in self.hits]
        seconds = sorted(start - hit.at for start, hit in zip(waits, self.hits, strict=True) if start is not None)
        cuts = quantiles(seconds, n=100, method="inclusive")
        return {"p50_seconds": round(cuts[49], 2), "p99_seconds": round(cuts[98], 2), "longest_seconds": round(seconds[-1], 2)}
