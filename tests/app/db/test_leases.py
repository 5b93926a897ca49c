"""The claim, the fence and the sweep's look, on both databases."""

from __future__ import annotations

import threading
from collections import Counter

import pytest
from sqlalchemy import Engine, update

from app.db import QueueRow, Run
from app.db.base import database_clock
from app.db.counters import STALE_WRITE_REJECTED, count, counted
from app.db.leases import claim, expired, extend, held, holding
from app.db.session import reading, unit_of_work
from app.domain.errors import LeaseLost
from app.domain.runs import RunStatus
from app.services.accounts import Identity
from tests.databases import add_dataset, add_run


def take(engine: Engine, worker: str = "w", *, has_gpu: bool = False) -> Run | None:
    with unit_of_work(engine) as session:
        return claim(session, Run, worker, "gpu", has_gpu=has_gpu)


def test_a_claim_hands_out_a_lease_and_raises_the_token(engine: Engine, owner: Identity) -> None:
    run_id = add_run(engine, owner, add_dataset(engine, owner))
    run = take(engine)
    assert run is not None
    assert (run.id, run.status, run.lease_token, run.attempt, run.lease_owner) == (run_id, "starting", 1, 1, "w")
    assert take(engine) is None


def test_claims_go_by_priority_then_by_age(engine: Engine, owner: Identity) -> None:
    dataset = add_dataset(engine, owner)
    first, urgent = add_run(engine, owner, dataset), add_run(engine, owner, dataset, priority=5)
    assert [take(engine).id, take(engine).id] == [urgent, first]  # type: ignore[union-attr]


def test_a_run_that_wants_a_gpu_waits_for_one(engine: Engine, owner: Identity) -> None:
    add_run(engine, owner, add_dataset(engine, owner), needs_gpu=True)
    assert take(engine) is None
    assert take(engine, has_gpu=True) is not None


def test_many_claimers_never_get_the_same_run(engine: Engine, owner: Identity) -> None:
    dataset = add_dataset(engine, owner)
    wanted = {add_run(engine, owner, dataset) for _ in range(24)}
    taken: list[str] = []

    def work() -> None:
        while (run := take(engine)) is not None:
            taken.append(run.id)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(taken) == wanted
    assert max(Counter(taken).values()) == 1


def test_a_write_with_an_old_token_is_refused(engine: Engine, owner: Identity) -> None:
    run_id = add_run(engine, owner, add_dataset(engine, owner))
    take(engine, "first")
    with unit_of_work(engine) as session:
        held(session, Run, run_id, 1).move_to(RunStatus.QUEUED)
    take(engine, "second")
    with pytest.raises(LeaseLost), holding(engine, Run, run_id, 1) as (session, run):
        run.step = 99
    with pytest.raises(LeaseLost), unit_of_work(engine) as session:
        extend(session, Run, run_id, 1, 60.0)
    with unit_of_work(engine) as session:
        assert held(session, Run, run_id, 2).step == 0
        assert counted(session) == {STALE_WRITE_REJECTED: 1}


def test_only_a_silent_lease_expires(engine: Engine, owner: Identity) -> None:
    dataset = add_dataset(engine, owner)
    silent, alive = add_run(engine, owner, dataset), add_run(engine, owner, dataset)
    take(engine), take(engine)
    with unit_of_work(engine) as session:
        session.execute(update(Run).where(Run.id == silent).values(lease_expires_at=database_clock() - 1))
    with unit_of_work(engine) as session:
        assert [run.id for run in expired(session, Run, work_id=silent, token=1)] == [silent]
        assert not expired(session, Run, work_id=silent, token=2)
        assert not expired(session, Run, work_id=alive, token=1)
        extend(session, Run, silent, 1, 60.0)
    with unit_of_work(engine) as session:
        assert not expired(session, Run, work_id=silent, token=1)
        assert held(session, Run, alive, 1).id == alive


def test_a_failed_unit_of_work_leaves_nothing(engine: Engine, owner: Identity) -> None:
    run_id = add_run(engine, owner, add_dataset(engine, owner))
    with pytest.raises(ZeroDivisionError), unit_of_work(engine) as session:
        session.get_one(Run, run_id).step = 1 // 0
    with reading(engine) as session:
        assert session.get_one(Run, run_id).step == 0


def test_claims_go_by_the_place_somebody_gave(engine: Engine, owner: Identity) -> None:
    dataset = add_dataset(engine, owner)
    first, second = add_run(engine, owner, dataset), add_run(engine, owner, dataset)
    with unit_of_work(engine) as session:
        one, other = session.get_one(Run, first), session.get_one(Run, second)
        assert 0 < one.place <= other.place
        one.place, other.place = other.place + 1, one.place
    assert [run.id for run in (take(engine), take(engine)) if run] == [second, first]


def test_nothing_is_taken_from_a_queue_that_is_held(engine: Engine, owner: Identity) -> None:
    add_run(engine, owner, add_dataset(engine, owner))
    with unit_of_work(engine) as session:
        session.add(QueueRow(name="gpu", held=True))
    assert take(engine) is None
    with unit_of_work(engine) as session:
        session.get_one(QueueRow, "gpu").held = False
    assert take(engine) is not None


def test_a_queue_s_slots_bound_what_many_claimers_take_at_once(engine: Engine, owner: Identity) -> None:
    dataset = add_dataset(engine, owner)
    for _ in range(12):
        add_run(engine, owner, dataset)
    with unit_of_work(engine) as session:
        session.add(QueueRow(name="gpu", slots=3))
    taken: list[str] = []
    threads = [threading.Thread(target=lambda: taken.extend(run.id for run in [take(engine)] if run)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(taken)) == len(taken) == 3


def test_what_is_counted_adds_up_over_transactions(engine: Engine) -> None:
    for _ in range(3):
        with unit_of_work(engine) as session:
            count(session, STALE_WRITE_REJECTED)
    with reading(engine) as session:
        assert counted(session) == {STALE_WRITE_REJECTED: 3}
