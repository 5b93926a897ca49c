from __future__ import annotations

from sqlalchemy import Engine

from app.db import Run, WorkerRow
from app.db.session import reading, unit_of_work
from app.services.accounts import Identity
from app.services.runs import Runs
from tests.databases import add_dataset, add_run


def reasons(engine: Engine, *run_ids: str) -> list[str]:
    with reading(engine) as session:
        told = Runs(session, None, None, None).waiting_reasons([session.get_one(Run, run_id) for run_id in run_ids])  # type: ignore[arg-type]
        return [told[run_id] for run_id in run_ids]


def test_a_run_waits_for_a_worker_that_is_there_free_and_its_turn(engine: Engine, owner: Identity) -> None:
    dataset = add_dataset(engine, owner)
    first, second = add_run(engine, owner, dataset), add_run(engine, owner, dataset)
    assert reasons(engine, first) == ["No worker that trains is running."]
    with unit_of_work(engine) as session:
        session.add(WorkerRow(host="h", pid=1, queue="gpu", device="cpu", busy_with=second))
    assert reasons(engine, first, second) == ["It is next, once a worker has done with another run.", "1 run is ahead of it."]
    with unit_of_work(engine) as session:
        session.add(WorkerRow(host="h", pid=2, queue="gpu", device="cpu"))
    assert reasons(engine, first) == ["A worker takes it next."]
