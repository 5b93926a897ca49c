"""Eight claimers at once on PostgreSQL: the claim hands every run out once, and the naive ones of the control do not."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable

import pytest
from sqlalchemy import Engine, select, update
from sqlalchemy.orm import Session

from app.db import Run
from app.db.leases import claim, queue_order
from app.db.session import unit_of_work
from app.services.accounts import Identity
from tests.databases import add_dataset, add_run

CLAIMERS, RUNS = 8, 120
Take = Callable[[Session], str | None]


def as_it_is(session: Session) -> str | None:
    run = claim(session, Run, "w", "gpu", has_gpu=False)
    return run.id if run else None


def naively(session: Session) -> str | None:
    """Take what a sub-select finds: who waited for another's commit takes the very row that the other has taken."""
    waiting = select(Run.id).where(Run.status == "queued").order_by(*queue_order(Run)).limit(1)
    taken = update(Run).where(Run.id == waiting.scalar_subquery()).values(status="starting", attempt=Run.attempt + 1)
    return session.execute(taken.returning(Run.id), execution_options={"synchronize_session": False}).scalar()


def claims_of(engine: Engine, owner: Identity, take: Take) -> Counter[str]:
    """Let all claimers take runs until none is left; count how often each was handed out."""
    dataset = add_dataset(engine, owner)
    waiting = {add_run(engine, owner, dataset) for _ in range(RUNS)}
    taken: list[str] = []
    together = threading.Barrier(CLAIMERS)

    def work() -> None:
        together.wait(60)
        while True:
            with unit_of_work(engine) as session:
                found = take(session)
            if found is None:
                return
            taken.append(found)

    threads = [threading.Thread(target=work) for _ in range(CLAIMERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(taken) == waiting
    return Counter(taken)


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_every_run_is_handed_out_once(engine: Engine, owner: Identity) -> None:
    assert max(claims_of(engine, owner, as_it_is).values()) == 1


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_without_the_outer_condition_runs_are_handed_out_twice(engine: Engine, owner: Identity) -> None:
    assert max(claims_of(engine, owner, naively).values()) > 1
