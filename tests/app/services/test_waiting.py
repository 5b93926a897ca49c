"""Why runs wait, and when they will start, by what the database says of workers, queue and timed runs."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from app.db import EventRow, Project, QueueRow, Run, WorkerRow
from app.db.audit import note
from app.db.base import utc_now
from app.db.session import reading, unit_of_work
from app.domain.holds import Hold, with_begun, with_ended
from app.domain.runs import RunStatus
from app.services.accounts import Identity
from app.services.queues import HELD
from app.services.waiting import Wait, waits
from tests.databases import add_dataset, add_run

FAR = {"lease_expires_at": 4e9}


@pytest.fixture
def dataset(engine: Engine, owner: Identity) -> str:
    return add_dataset(engine, owner)


def waits_of(engine: Engine, *run_ids: str) -> list[Wait]:
    with reading(engine) as session:
        told = waits(session, [session.get_one(Run, run_id) for run_id in run_ids])
        return [told[run_id] for run_id in run_ids]


def reasons(engine: Engine, *run_ids: str) -> list[str]:
    return [wait.why for wait in waits_of(engine, *run_ids)]


def add_worker(engine: Engine, **columns: Any) -> str:
    with unit_of_work(engine) as session:
        row = WorkerRow(**{"host": "forge", "pid": 1, "queue": "gpu", "device": "cpu"} | columns)
        session.add(row)
        session.flush()
        return row.id


def decide(engine: Engine, **columns: Any) -> None:
    with unit_of_work(engine) as session:
        session.add(QueueRow(**{"name": "gpu", "slots": None, "held": False} | columns))


def held_for(seconds: float, *, ended: bool = True) -> dict[str, Any]:
    now = utc_now().timestamp()
    begun = with_begun({}, Hold(begin=now - seconds))
    return with_ended(begun, now) if ended else begun


def timed(engine: Engine, by: Identity, dataset: str, seconds_per_step: float, **columns: Any) -> None:
    """Put a run that has ended after ten steps."""
    add_run(engine, by, dataset, status=RunStatus.SUCCEEDED, step=10, facts=held_for(10 * seconds_per_step), **columns)


def minutes_until(wait: Wait) -> list[float]:
    assert wait.starts is not None
    return [round((moment - datetime.now(UTC)).total_seconds() / 60, 1) for moment in wait.starts]


def test_a_run_waits_for_a_worker_that_is_there_free_and_its_turn(engine: Engine, owner: Identity, dataset: str) -> None:
    first, second = add_run(engine, owner, dataset), add_run(engine, owner, dataset)
    assert reasons(engine, first) == ["No worker that trains is running: hone worker --queue gpu starts one."]
    worker = add_worker(engine)
    add_run(engine, owner, dataset, name="long", status=RunStatus.RUNNING, lease_owner=worker, **FAR)
    assert reasons(engine, first, second) == ["It is next, once a worker has done with long.", "1 run is ahead of it."]
    with unit_of_work(engine) as session:
        session.get_one(WorkerRow, worker).facts = {"slots": 2}
    assert reasons(engine, first) == ["A worker takes it next."]


def test_who_needs_a_gpu_waits_for_one_and_is_ahead_of_nobody_meanwhile(engine: Engine, owner: Identity, dataset: str) -> None:
    first, second = add_run(engine, owner, dataset, needs_gpu=True), add_run(engine, owner, dataset)
    add_worker(engine)
    asks = "No running worker has a GPU, and this run asks for one: run hone worker --queue gpu where one is."
    assert reasons(engine, first, second) == [asks, "A worker takes it next."]


def test_a_held_queue_says_by_whom_and_since_when(engine: Engine, owner: Identity, dataset: str) -> None:
    run_id = add_run(engine, owner, dataset)
    decide(engine, held=True)
    assert reasons(engine, run_id) == ["The queue is held."]
    with unit_of_work(engine) as session:
        note(session, owner.project_id, owner.user_id, HELD, "gpu")
    assert reasons(engine, run_id) == ["The queue is held by owner, for less than a minute."]


def test_a_full_queue_says_how_many_may_run_and_who_ends_first(engine: Engine, owner: Identity, dataset: str) -> None:
    run_id = add_run(engine, owner, dataset)
    add_worker(engine)
    add_run(engine, owner, dataset, name="long", status=RunStatus.RUNNING, lease_owner=add_worker(engine), **FAR)
    decide(engine, slots=1)
    assert reasons(engine, run_id) == ["It is next, once the queue's only slot is free: it waits for long."]
    with unit_of_work(engine) as session:
        session.get_one(QueueRow, "gpu").slots = 2
    assert reasons(engine, run_id) == ["A worker takes it next."]


def test_the_run_a_worker_is_busy_with_is_named_with_its_time(engine: Engine, owner: Identity, dataset: str) -> None:
    worker = add_worker(engine)
    running = {"status": RunStatus.RUNNING, "lease_owner": worker, "step": 30, "total_steps": 90, "name": "long"}
    busy = add_run(engine, owner, dataset, facts=held_for(600, ended=False), **running, **FAR)
    with unit_of_work(engine) as session:
        then = utc_now() - timedelta(minutes=10)
        session.add(EventRow(project_id=owner.project_id, subject_id=busy, type="started", message="", time=then, data={"step": 0}))
    [wait] = waits_of(engine, add_run(engine, owner, dataset))
    assert wait.why == "It is next, once a worker has done with long (about 20 min left)."
    assert minutes_until(wait) == pytest.approx([16, 20, 24], abs=0.9)


@pytest.fixture
def stranger(engine: Engine, owner: Identity) -> Identity:
    """Somebody in another project."""
    with unit_of_work(engine) as session:
        other = Project(name="other")
        session.add(other)
        session.flush()
        return replace(owner, project_id=other.id)


def test_the_base_of_another_project_is_not_named(engine: Engine, owner: Identity, stranger: Identity, dataset: str) -> None:
    timed(engine, owner, dataset, 60)
    add_worker(engine)
    add_run(engine, stranger, add_dataset(engine, stranger), base_model="/secret/base")
    [wait] = waits_of(engine, add_run(engine, owner, dataset))
    assert (wait.starts, wait.unknown) == (None, "The base of another run has not been timed yet.")


def test_a_run_of_another_project_is_not_named(engine: Engine, owner: Identity, stranger: Identity, dataset: str) -> None:
    hung = {"status": RunStatus.RUNNING, "lease_owner": add_worker(engine), "stalled_at": utc_now().timestamp()}
    add_run(engine, stranger, add_dataset(engine, stranger), name="secret", **hung, **FAR)
    [wait] = waits_of(engine, add_run(engine, owner, dataset))
    assert wait.why == "It is next, once a worker has done with another run."
    assert wait.unknown == "Another run makes no progress."


def test_a_worker_that_takes_nothing_says_why(engine: Engine, owner: Identity, dataset: str) -> None:
    run_id = add_run(engine, owner, dataset)
    add_worker(engine, facts={"waiting": "cuda:0 is not free yet"})
    [wait] = waits_of(engine, run_id)
    assert wait.why == "It is next. On forge: cuda:0 is not free yet."
    assert wait.starts is None
    add_worker(engine, host="bench")
    decide(engine, slots=1)
    [wait] = waits_of(engine, run_id)
    assert wait.why == "A worker takes it next."
    assert minutes_until(wait) == pytest.approx([0, 0, 0], abs=0.9)


@pytest.mark.parametrize(("kind", "why"), [("lost", "The process ended by itself (exit 1)."), ("interrupted", "It waited for the store.")])
def test_a_run_on_its_way_back_says_why_as_its_worker_did(engine: Engine, owner: Identity, dataset: str, kind: str, why: str) -> None:
    run_id = add_run(engine, owner, dataset, attempt=1, step=40)

    def tell(what: str, message: str) -> None:
        with unit_of_work(engine) as session:
            session.add(EventRow(project_id=owner.project_id, subject_id=run_id, type=what, message=message))

    tell("lost", "An older reason.")
    tell(kind, why)
    tell("moved", "Somebody moved it.")
    assert reasons(engine, run_id) == [f"{why} No worker that trains is running: hone worker --queue gpu starts one."]
    tell("resume", "Somebody asked to resume the run.")
    assert reasons(engine, run_id) == ["No worker that trains is running: hone worker --queue gpu starts one."]


def test_a_run_that_makes_no_progress_says_since_when(engine: Engine, owner: Identity, dataset: str) -> None:
    since = utc_now().timestamp() - 12 * 60
    assert reasons(engine, add_run(engine, owner, dataset, status=RunStatus.RUNNING, stalled_at=since)) == ["No step for 12 min."]


def test_what_waits_behind_a_run_without_progress_is_promised_nothing(engine: Engine, owner: Identity, dataset: str) -> None:
    timed(engine, owner, dataset, 60)
    busy = {"status": RunStatus.RUNNING, "lease_owner": add_worker(engine), "step": 5, "total_steps": 10}
    add_run(engine, owner, dataset, name="hung", stalled_at=utc_now().timestamp(), **busy, **FAR)
    [wait] = waits_of(engine, add_run(engine, owner, dataset))
    assert (wait.starts, wait.unknown) == (None, "The run hung makes no progress.")
    assert wait.why == "It is next, once a worker has done with hung."


def test_starts_are_told_by_what_runs_of_the_base_took(engine: Engine, owner: Identity, dataset: str) -> None:
    for pace in (60, 90, 60):
        timed(engine, owner, dataset, pace)
    timed(engine, owner, dataset, 6000, base_model="org/other")
    add_worker(engine)
    first, second, third = (add_run(engine, owner, dataset, total_steps=10) for _ in range(3))
    told = waits_of(engine, first, second, third)
    assert [minutes_until(wait) for wait in told] == [pytest.approx(wanted, abs=0.9) for wanted in ([0, 0, 0], [8, 10, 15], [16, 20, 30])]


def test_runs_with_the_same_batch_tell_more_than_others_of_the_base(engine: Engine, owner: Identity, dataset: str) -> None:
    small, large = ({"spec": {"settings": {"batch_size": size, "max_length": 512}}} for size in (1, 64))
    timed(engine, owner, dataset, 6, **small)
    timed(engine, owner, dataset, 600, **large)
    add_worker(engine)
    add_run(engine, owner, dataset, total_steps=10, **small)
    assert minutes_until(waits_of(engine, add_run(engine, owner, dataset))[0])[1] == pytest.approx(1, abs=0.9)


def test_what_was_never_timed_is_named_and_not_guessed(engine: Engine, owner: Identity, dataset: str) -> None:
    timed(engine, owner, dataset, 60)
    add_worker(engine)
    add_run(engine, owner, dataset, base_model="org/new")
    [wait] = waits_of(engine, add_run(engine, owner, dataset))
    assert (wait.starts, wait.unknown) == (None, "No run of org/new has been timed yet.")


def test_a_held_queue_and_one_without_workers_promise_nothing(engine: Engine, owner: Identity, dataset: str) -> None:
    timed(engine, owner, dataset, 60)
    run_id = add_run(engine, owner, dataset)
    assert waits_of(engine, run_id)[0].starts is None
    add_worker(engine)
    decide(engine, held=True)
    assert waits_of(engine, run_id)[0].starts is None
