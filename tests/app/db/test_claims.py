"""Eight claimers at once on PostgreSQL: the claim hands every run out once, each of its two guards alone does too, and neither does not."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable

import pytest
from sqlalchemy import Engine, select, true, update
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


def guarded(session: Session, *, skips: bool = False, asks_again: bool = False) -> str | None:
    """Take what a sub-select finds, as the claim does, with some of its guards."""
    waiting = select(Run.id).where(Run.status == "queued").order_by(*queue_order(Run)).limit(1)
    if skips:
        waiting = waiting.with_for_update(skip_locked=True)
    still = Run.status == "queued" if asks_again else true()
    taken = update(Run).where(Run.id == waiting.scalar_subquery(), still).values(status="starting", attempt=Run.attempt + 1)
    return session.execute(taken.returning(Run.id), execution_options={"synchronize_session": False}).scalar()


def passing_over(session: Session) -> str | None:
    return guarded(session, skips=True)


def asking_again(session: Session) -> str | None:
    """Who waited for another's commit sees that the row is taken, and gets nothing; so it looks once more."""
    while (found := guarded(session, asks_again=True)) is None:
        if session.scalar(select(Run.id).where(Run.status == "queued").limit(1)) is None:
            return None
    return found


def naively(session: Session) -> str | None:
    """Who waited for another's commit takes the very row that the other has taken."""
    return guarded(session)


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


@pytest.mark.parametrize("take", [as_it_is, passing_over, asking_again])
@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_every_run_is_handed_out_once(engine: Engine, owner: Identity, take: Take) -> None:
    assert max(claims_of(engine, owner, take).values()) == 1


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_without_both_guards_runs_are_handed_out_twice(engine: Engine, owner: Identity) -> None:
    # Whether two of them meet is up to the machine: likely each time, and as good as certain in thirty.
    assert any(max(claims_of(engine, owner, naively).values()) > 1 for _ in range(30))
