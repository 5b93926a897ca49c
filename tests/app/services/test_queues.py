"""Queues: moving runs, limits and holds, with what the audit keeps of it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace

import pytest
from sqlalchemy import Engine, select

from app.db import AuditEntry, Download, EventRow, Import, Project, Run
from app.db.leases import claim, queue_order
from app.db.session import reading, unit_of_work
from app.domain.errors import Conflict, NotFound
from app.domain.queueing import Move, QueueChange, To
from app.domain.runs import RunStatus
from app.services.accounts import Identity
from app.services.queues import Queues
from tests.databases import add_dataset, add_import, add_run
from tests.waiting import PATIENCE_SECONDS


class Bell:
    def __init__(self) -> None:
        self.rung: list[str] = []

    def ring(self, queue: str) -> None:
        self.rung.append(queue)


@pytest.fixture
def dataset(engine: Engine, owner: Identity) -> str:
    return add_dataset(engine, owner)


@pytest.fixture
def runs(engine: Engine, owner: Identity, dataset: str) -> dict[str, str]:
    """Five runs that wait: one high, three normal, one low."""
    priorities = {"a": 1, "b": 0, "c": 0, "d": 0, "e": -1}
    return {name: add_run(engine, owner, dataset, name=name, priority=priority) for name, priority in priorities.items()}


def order(engine: Engine) -> str:
    with reading(engine) as session:
        return "".join(session.scalars(select(Run.name).where(Run.status == RunStatus.QUEUED).order_by(*queue_order(Run))))


def move(engine: Engine, by: Identity, run_id: str, wanted: Move) -> tuple[int, int]:
    with unit_of_work(engine) as session:
        moved = Queues(session).move(by, run_id, wanted)
        return moved.place, moved.number


def test_a_run_lands_where_it_was_put_and_is_claimed_there(engine: Engine, owner: Identity, runs: dict[str, str]) -> None:
    assert move(engine, owner, runs["d"], Move(before=runs["b"])) == (2, 5)
    assert move(engine, owner, runs["e"], Move(to=To.FIRST)) == (1, 5)
    assert order(engine) == "eadbc"
    with unit_of_work(engine) as session:
        taken = claim(session, Run, "worker", "gpu", has_gpu=True)
        assert taken is not None
        assert (taken.name, taken.priority) == ("e", 1)
    assert order(engine) == "adbc"


def test_a_move_is_kept_in_the_history_and_the_audit(engine: Engine, owner: Identity, runs: dict[str, str]) -> None:
    before = run_row(engine, runs["e"]).updated_at
    move(engine, owner, runs["e"], Move(before=runs["c"]))
    with reading(engine) as session:
        event = session.scalar(select(EventRow).where(EventRow.subject_id == runs["e"]))
        entry = session.scalar(select(AuditEntry).where(AuditEntry.subject == runs["e"]))
        assert event is not None
        assert event.message == "owner moved the run to place 3 of 5 in the queue. Its priority is normal now, like its neighbours'."
        assert entry is not None
        assert (entry.action, entry.user_id, entry.details["priority"]) == ("run.moved", owner.user_id, "normal")
    assert run_row(engine, runs["e"]).updated_at > before


def test_a_move_that_changes_nothing_is_nothing(engine: Engine, owner: Identity, runs: dict[str, str]) -> None:
    assert move(engine, owner, runs["a"], Move(to=To.SOONER)) == (1, 5)
    with reading(engine) as session:
        assert session.scalars(select(EventRow).where(EventRow.type == "moved")).all() == []


def run_row(engine: Engine, run_id: str) -> Run:
    with reading(engine) as session:
        return session.get_one(Run, run_id)


def test_what_waits_no_more_cannot_be_moved(engine: Engine, owner: Identity, runs: dict[str, str], dataset: str) -> None:
    running = add_run(engine, owner, dataset, status=RunStatus.RUNNING)
    for run_id, wanted in ((running, Move(to=To.FIRST)), (runs["a"], Move(before=running)), (runs["a"], Move(after="nobody"))):
        with pytest.raises(Conflict):
            move(engine, owner, run_id, wanted)
    with pytest.raises(NotFound):
        move(engine, owner, "nobody", Move(to=To.FIRST))


def test_another_projects_runs_are_neither_moved_nor_passed_on_the_way(engine: Engine, owner: Identity, runs: dict[str, str]) -> None:
    with unit_of_work(engine) as session:
        other = Project(name="other")
        session.add(other)
        session.flush()
        stranger = replace(owner, project_id=other.id)
    theirs = add_run(engine, stranger, add_dataset(engine, stranger), name="X")
    with pytest.raises(NotFound):
        move(engine, owner, theirs, Move(to=To.LAST))
    place = run_row(engine, theirs).place
    move(engine, owner, runs["b"], Move(after=runs["d"]))
    assert order(engine) == "acdbXe"
    assert run_row(engine, theirs).place == place


def test_movers_take_turns(engine: Engine, owner: Identity, dataset: str) -> None:
    ids = [add_run(engine, owner, dataset, name=name) for name in "abcdef"]
    begin = threading.Barrier(4)

    def shuffle(number: int) -> None:
        begin.wait()
        for turn in range(6):
            move(engine, owner, ids[(number + turn) % 6], Move(to=To.FIRST if turn % 2 else To.LAST))

    threads = [threading.Thread(target=shuffle, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with reading(engine) as session:
        places = list(session.scalars(select(Run.place)))
    assert len(set(places)) == 6
    assert sorted(order(engine)) == list("abcdef")


def test_who_moves_a_run_and_who_deletes_runs_wait_for_each_other_and_not_both_forever(
    engine: Engine, owner: Identity, runs: dict[str, str]
) -> None:
    first, *others = sorted(runs.values())
    with unit_of_work(engine) as session:
        session.get_one(Run, first).name = "now it is the last on PostgreSQL's disk"
    locked = select(Run.id).with_for_update()
    with ThreadPoolExecutor(1) as pool:
        with unit_of_work(engine) as session:
            session.execute(locked.where(Run.id == first))
            moving = pool.submit(move, engine, owner, runs["e"], Move(to=To.FIRST))
            wait([moving], timeout=0.5)
            session.execute(locked.where(Run.id.in_(others)))
        assert moving.result(PATIENCE_SECONDS) == (1, 5)


def test_a_queue_tells_how_it_stands(engine: Engine, owner: Identity, runs: dict[str, str], dataset: str) -> None:
    add_run(engine, owner, dataset, status=RunStatus.PAUSING)
    add_run(engine, owner, dataset, status=RunStatus.SUCCEEDED)
    add_import(engine, owner, dataset)
    with reading(engine) as session:
        found = {state.name: (state.slots, state.held, state.running, state.waiting, state.workers) for state in Queues(session).every()}
    assert found == {"gpu": (None, False, 1, 5, 0), "cpu": (None, False, 0, 1, 0)}


def test_holding_and_limiting_is_audited_and_releasing_rings(engine: Engine, owner: Identity, runs: dict[str, str]) -> None:
    bell = Bell()
    for wanted in (QueueChange(held=True), QueueChange(held=True), QueueChange(slots=3), QueueChange(held=False)):
        with unit_of_work(engine) as session:
            state = Queues(session, bell).change(owner, "gpu", wanted)
        if wanted.held:
            assert (state.held_by, state.held_since is not None) == ("owner", True)
    assert (state.slots, state.held, state.held_by) == (3, False, None)
    with reading(engine) as session:
        entries = session.execute(select(AuditEntry.action, AuditEntry.details).where(AuditEntry.subject == "gpu").order_by(AuditEntry.id))
        assert [tuple(entry) for entry in entries] == [("queue.held", {}), ("queue.limited", {"slots": 3}), ("queue.released", {})]
    assert set(bell.rung) == {"gpu"}
    with unit_of_work(engine) as session:
        assert Queues(session).change(owner, "gpu", QueueChange(slots=None)).slots is None


def test_what_is_held_or_full_is_not_claimed(engine: Engine, owner: Identity, runs: dict[str, str]) -> None:
    def taken(wanted: QueueChange) -> str | None:
        with unit_of_work(engine) as session:
            Queues(session).change(owner, "gpu", wanted)
        with unit_of_work(engine) as session:
            row = claim(session, Run, "worker", "gpu", has_gpu=True)
            return row.name if row else None

    assert [taken(QueueChange(held=True)), taken(QueueChange(held=False, slots=1)), taken(QueueChange(slots=1))] == [None, "a", None]


def test_there_are_two_queues(engine: Engine, owner: Identity) -> None:
    with unit_of_work(engine) as session, pytest.raises(NotFound):
        Queues(session).change(owner, "tpu", QueueChange(held=True))


def test_a_queue_s_limit_is_for_what_computes_in_it(engine: Engine, owner: Identity, dataset: str) -> None:
    for _ in range(2):
        add_import(engine, owner, dataset)
    with unit_of_work(engine) as session:
        session.add(Download(project_id=owner.project_id, queue="cpu", repo="acme/small", status=RunStatus.RUNNING))
        session.add(Download(project_id=owner.project_id, queue="cpu", repo="acme/large"))
        state = Queues(session).change(owner, "cpu", QueueChange(slots=1))
        assert (state.running, state.waiting) == (1, 3)
        taken = [claim(session, table, "worker", "cpu", has_gpu=False) for table in (Import, Import, Download)]
        assert [type(row) for row in taken] == [Import, type(None), Download]
