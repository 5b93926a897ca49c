from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Engine

from app.db import EventRow, Run, WorkerRow, metrics
from app.db.base import utc_now
from app.db.session import reading, unit_of_work
from app.domain.runs import RunStatus
from app.services.accounts import Identity
from app.services.overview import Overview
from tests.databases import add_dataset, add_run


def test_a_list_knows_numbers_dataset_and_owner_of_each_run(engine: Engine, owner: Identity) -> None:
    dataset = add_dataset(engine, owner)
    first, second = add_run(engine, owner, dataset), add_run(engine, owner, dataset)
    with unit_of_work(engine) as session:
        metrics.append(session, second, 0, [metrics.Point(3, "eval/loss", 0.5)])
    with reading(engine) as session:
        lines = Overview(session).lines([session.get_one(Run, first), session.get_one(Run, second)])
    assert [(line.run.id, line.dataset, line.owner, line.latest) for line in lines] == [
        (first, "e-mails", "owner", {}),
        (second, "e-mails", "owner", {"eval/loss": 0.5}),
    ]


def test_totals_count_what_the_rail_shows(engine: Engine, owner: Identity) -> None:
    dataset = add_dataset(engine, owner)
    add_run(engine, owner, dataset, status=RunStatus.RUNNING)
    add_run(engine, owner, dataset, status=RunStatus.SUCCEEDED, model="ft:x")
    add_run(engine, owner, dataset)
    with unit_of_work(engine) as session:
        session.add(WorkerRow(host="h", pid=1, queue="gpu", device="cpu"))
        session.add(WorkerRow(host="h", pid=2, queue="gpu", device="cpu", left_at=utc_now()))
    with reading(engine) as session:
        totals = Overview(session).totals(owner)
    assert (totals.datasets, totals.runs, totals.live_runs, totals.running, totals.models, totals.workers) == (1, 3, 2, 1, 1, 1)


def test_the_time_left_is_told_from_the_newest_start(engine: Engine, owner: Identity) -> None:
    run_id = add_run(engine, owner, add_dataset(engine, owner), status=RunStatus.RUNNING, step=60, total_steps=100)
    with unit_of_work(engine) as session:
        for ago, step in ((500, 0), (40, 40)):
            begun = utc_now() - timedelta(seconds=ago)
            session.add(
                EventRow(project_id=owner.project_id, subject_id=run_id, type="started", message="", data={"step": step}, time=begun)
            )
            session.flush()
    with reading(engine) as session:
        left = Overview(session).seconds_left(session.get_one(Run, run_id))
    assert left is not None
    assert 75 < left < 300  # 20 steps took 40 seconds and what asking takes, 40 are to come; by the older start it would be 333
    with unit_of_work(engine) as session:
        run = session.get_one(Run, run_id)
        run.stalled_at = 1.0
        assert Overview(session).seconds_left(run) is None


def test_no_time_is_told_after_the_first_steps_or_when_nothing_runs(engine: Engine, owner: Identity) -> None:
    dataset = add_dataset(engine, owner)
    fresh, waiting = add_run(engine, owner, dataset, status=RunStatus.RUNNING, step=1), add_run(engine, owner, dataset)
    with reading(engine) as session:
        assert Overview(session).seconds_left(session.get_one(Run, fresh)) is None
        assert Overview(session).seconds_left(session.get_one(Run, waiting)) is None


def test_a_history_is_read_from_its_newest_end(engine: Engine, owner: Identity) -> None:
    with unit_of_work(engine) as session:
        for n in range(5):
            session.add(EventRow(project_id=owner.project_id, subject_id="s", type="notice", message=str(n)))
            session.flush()
    with reading(engine) as session:
        assert [event.message for event in Overview(session).newest_events("s", 2)] == ["4", "3"]
