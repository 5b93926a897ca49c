from __future__ import annotations

from sqlalchemy import Engine

from app.db import EventRow, Import, Run, WorkerRow
from app.db.session import reading, unit_of_work
from app.services.accounts import Identity
from app.services.changes import Changes
from tests.databases import add_dataset, add_import, add_run


def since(engine: Engine, moment: float) -> set[tuple[str, str, str | None]]:
    with reading(engine) as session:
        return {(change.kind, change.subject_id, change.project_id) for change in Changes(session).since(moment)}


def clock(engine: Engine) -> float:
    with reading(engine) as session:
        return Changes(session).now().clock


def test_whatever_grew_newer_is_found_with_its_project(engine: Engine, owner: Identity) -> None:
    dataset = add_dataset(engine, owner)
    run, reading_of = add_run(engine, owner, dataset), add_import(engine, owner, dataset)
    before = clock(engine)
    assert since(engine, before) == set()
    with unit_of_work(engine) as session:
        session.get_one(Run, run).step = 7
        session.get_one(Import, reading_of).rows_read = 9
        worker = WorkerRow(host="h", pid=1, queue="gpu", device="cpu")
        session.add(worker)
    expected = {("run", run, owner.project_id), ("dataset", dataset, owner.project_id), ("worker", worker.id, None)}
    assert since(engine, before) == expected


def test_histories_that_grew_are_found_by_the_last_event_seen(engine: Engine, owner: Identity) -> None:
    with unit_of_work(engine) as session:
        session.add(EventRow(project_id=owner.project_id, subject_id="a", type="notice", message="old"))
    with reading(engine) as session:
        last = Changes(session).now().event
    with unit_of_work(engine) as session:
        session.add(EventRow(project_id=owner.project_id, subject_id="b", type="notice", message="new"))
    with reading(engine) as session:
        assert [event.subject_id for event in Changes(session).events_after(last)] == ["b"]
