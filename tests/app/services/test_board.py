"""The board's reads: groups, filters that add up, counts of what is left, and hours by owner."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import Engine, update

from app.db import Run, User, WorkerRow
from app.db.base import utc_now
from app.db.session import reading, unit_of_work
from app.domain.holds import Hold, with_begun, with_ended
from app.domain.runs import RunStatus
from app.services.accounts import Identity
from app.services.board import Board, BoardFilter, Group, group_of
from app.services.run_filter import RunFilter
from tests.databases import add_dataset, add_run

HOUR = 3600.0


@pytest.fixture
def lena(engine: Engine, owner: Identity) -> Identity:
    with unit_of_work(engine) as session:
        user = User(name="Lena", role="member")
        session.add(user)
        session.flush()
        return replace(owner, user_id=user.id, user_name="Lena")


@pytest.fixture
def dataset(engine: Engine, owner: Identity) -> str:
    return add_dataset(engine, owner)


def held(*holds: tuple[float, float | None], device: str = "NVIDIA L4", host: str = "forge") -> dict[str, object]:
    """Give the facts of a run that was held, by hours before now."""
    now = utc_now().timestamp()
    facts: dict[str, object] = {}
    for begin, end in holds:
        facts = with_begun(facts, Hold(begin=now - begin * HOUR, host=host, device=device))
        facts = facts if end is None else with_ended(facts, now - end * HOUR)
    return facts


def ended(hours_ago: float, status: RunStatus = RunStatus.SUCCEEDED) -> dict[str, object]:
    return {"status": status, "finished_at": utc_now() - timedelta(hours=hours_ago), "attempt": 1}


def seen(engine: Engine, by: Identity, wanted: BoardFilter | None = None) -> dict[str, list[str]]:
    """Give what stands on the board, by group."""
    with reading(engine) as session:
        board = Board(session, by, wanted or BoardFilter())
        found = {"running": board.running(50), "waiting": board.waiting(50), "done": board.done(50, None).items}
        return {group: [run.name for run in runs] for group, runs in found.items() if runs}


def test_every_state_stands_in_one_group() -> None:
    assert {status: group_of(status) for status in RunStatus}
    assert group_of("paused") == Group.WAITING


def test_groups_come_in_the_order_one_looks_for(engine: Engine, owner: Identity, dataset: str) -> None:
    add_run(engine, owner, dataset, name="held by a person", status=RunStatus.PAUSED)
    add_run(engine, owner, dataset, name="second")
    add_run(engine, owner, dataset, name="first", priority=5)
    add_run(engine, owner, dataset, name="younger", status=RunStatus.RUNNING, started_at=utc_now())
    add_run(engine, owner, dataset, name="older", status=RunStatus.STOPPING, started_at=utc_now() - timedelta(hours=1))
    add_run(engine, owner, dataset, name="starting", status=RunStatus.STARTING)
    add_run(engine, owner, dataset, name="long ago", **ended(300))
    add_run(engine, owner, dataset, name="earlier", **ended(5, RunStatus.FAILED))
    add_run(engine, owner, dataset, name="lately", **ended(1))
    assert seen(engine, owner) == {
        "running": ["older", "younger", "starting"],
        "waiting": ["first", "second", "held by a person"],
        "done": ["lately", "earlier"],
    }
    assert seen(engine, owner, BoardFilter(days=0))["done"] == ["lately", "earlier", "long ago"]
    assert seen(engine, owner, BoardFilter(days=30))["done"] == ["lately", "earlier", "long ago"]


def test_an_older_page_begins_where_the_last_one_ended(engine: Engine, owner: Identity, dataset: str) -> None:
    at = utc_now() - timedelta(hours=1)
    ids = [add_run(engine, owner, dataset, name=str(n), **(ended(1) | {"finished_at": at})) for n in range(5)]
    with reading(engine) as session:
        board = Board(session, owner, BoardFilter())
        first = board.done(2, None)
        second = board.done(2, first.items[-1].id)
        last = board.done(2, second.items[-1].id)
    assert [run.id for page in (first, second, last) for run in page.items] == ids[::-1]
    assert [first.has_more, second.has_more, last.has_more] == [True, True, False]


@pytest.fixture
def team(engine: Engine, owner: Identity, lena: Identity, dataset: str) -> None:
    add_run(engine, owner, dataset, name="alpha", status=RunStatus.RUNNING, tags=["nightly"], facts=held((1, None)), attempt=1)
    add_run(engine, lena, dataset, name="beta", status=RunStatus.RUNNING, base_model="org/big", facts=held((2, None), host="bench"))
    add_run(engine, lena, dataset, name="gamma", tags=["nightly", "eval"])
    add_run(engine, lena, dataset, name="delta 100%", facts=held((4, 3)), **ended(3))
    add_run(engine, owner, dataset, name="epsilon", base_model="org/big", facts=held((9, 8), device="CPU"), **ended(30))


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        (BoardFilter(), {"alpha", "beta", "gamma", "delta 100%", "epsilon"}),
        (BoardFilter(runs=RunFilter(owner="Lena")), {"beta", "gamma", "delta 100%"}),
        (BoardFilter(runs=RunFilter(base_model="org/big")), {"beta", "epsilon"}),
        (BoardFilter(runs=RunFilter(tag=("nightly",))), {"alpha", "gamma"}),
        (BoardFilter(runs=RunFilter(q="ALPH")), {"alpha"}),
        (BoardFilter(runs=RunFilter(q="%")), {"delta 100%"}),
        (BoardFilter(on="forge"), {"alpha", "delta 100%", "epsilon"}),
        (BoardFilter(on="NVIDIA L4"), {"alpha", "beta", "delta 100%"}),
        (BoardFilter(on="CPU"), {"epsilon"}),
        (BoardFilter(days=1), {"alpha", "beta", "gamma", "delta 100%"}),
        (BoardFilter(runs=RunFilter(owner="Lena", base_model="org/big"), on="NVIDIA L4"), {"beta"}),
        (BoardFilter(runs=RunFilter(owner="Lena", tag=("nightly",), q="gam"), days=1), {"gamma"}),
        (BoardFilter(runs=RunFilter(owner="nobody")), set()),
        (BoardFilter(on="' OR 1=1 --"), set()),
        (BoardFilter(runs=RunFilter(tag=('"',))), set()),
    ],
)
def test_filters_add_up(engine: Engine, owner: Identity, team: None, wanted: BoardFilter, names: set[str]) -> None:
    assert {name for group in seen(engine, owner, wanted).values() for name in group} == names


def test_counts_say_what_each_choice_would_leave(engine: Engine, owner: Identity, team: None) -> None:
    with reading(engine) as session:
        filters = [BoardFilter(), BoardFilter(runs=RunFilter(owner="Lena")), BoardFilter(group=Group.DONE)]
        boards = [Board(session, owner, one) for one in [*filters, BoardFilter(runs=RunFilter(tag=("nightly",)))]]
        groups = [board.numbers() for board in boards]
        every, lenas, done, nightly = (board.choices() for board in boards)
    assert groups[0] == groups[2] == {Group.RUNNING: 2, Group.WAITING: 1, Group.DONE: 2}
    assert groups[1] == {Group.RUNNING: 1, Group.WAITING: 1, Group.DONE: 1}
    assert every.owners == {"Lena": 3, "owner": 2}
    assert every.bases == {"hone-starter": 3, "org/big": 2}
    assert dict(every.tags) == {"nightly": 2, "eval": 1}
    assert lenas.owners == {"Lena": 3, "owner": 2}
    assert lenas.bases == {"hone-starter": 2, "org/big": 1}
    assert (done.owners, done.tags) == ({"Lena": 1, "owner": 1}, [])
    assert (nightly.owners, dict(nightly.tags)) == ({"Lena": 1, "owner": 1}, {"nightly": 2, "eval": 1})


def test_another_project_is_not_on_the_board(engine: Engine, owner: Identity, team: None) -> None:
    stranger = replace(owner, project_id="another")
    assert seen(engine, stranger) == {}
    with reading(engine) as session:
        board = Board(session, stranger, BoardFilter())
        assert (board.totals().use, sum(board.numbers().values())) == ([], 0)


def test_places_are_the_machines_and_devices_that_train(engine: Engine, owner: Identity) -> None:
    with unit_of_work(engine) as session:
        session.add(WorkerRow(host="forge", pid=1, queue="gpu", device="NVIDIA L4"))
        session.add(WorkerRow(host="forge", pid=2, queue="gpu", device="NVIDIA L4", left_at=utc_now()))
        session.add(WorkerRow(host="desk", pid=3, queue="cpu", device="CPU"))
        session.add(WorkerRow(host="museum", pid=4, queue="gpu", device="K80", updated_at=1.0))
    with reading(engine) as session:
        assert Board(session, owner, BoardFilter()).choices().places == ["NVIDIA L4", "forge"]


def test_hours_are_added_up_by_owner_over_attempts_of_the_last_week(engine: Engine, owner: Identity, lena: Identity, dataset: str) -> None:
    week = 7 * 24
    add_run(engine, lena, dataset, facts=held((5, 4), (3, 2.5)), **ended(2.5))
    add_run(engine, lena, dataset, facts=held((0.5, None)), status=RunStatus.RUNNING, attempt=1)
    add_run(engine, owner, dataset, facts=held((week + 2, week - 1)), **ended(week - 1))
    old = add_run(engine, owner, dataset, facts=held((week + 9, week + 8)), **ended(week + 8))
    add_run(engine, owner, dataset)
    with unit_of_work(engine) as session:
        session.execute(update(Run).where(Run.id == old).values(updated_at=utc_now().timestamp() - (week + 8) * HOUR))
    with reading(engine) as session:
        totals = Board(session, owner, BoardFilter()).totals()
    assert [(one.owner, one.runs, round(one.seconds / HOUR, 1)) for one in totals.use] == [("Lena", 2, 2.0), ("owner", 1, 1.0)]
    assert (round(totals.seconds / HOUR, 1), totals.unmeasured) == (3.0, 0)


def test_a_run_whose_lease_ran_out_is_held_by_nobody_since(engine: Engine, owner: Identity, dataset: str) -> None:
    gone = {"status": RunStatus.RUNNING, "attempt": 1, "lease_expires_at": utc_now().timestamp() - HOUR}
    run_id = add_run(engine, owner, dataset, facts=held((3, None)), **gone)
    with reading(engine) as session:
        board = Board(session, owner, BoardFilter())
        assert board.seconds_held(session.get_one(Run, run_id)) == pytest.approx(2 * HOUR, abs=300)
        assert board.totals().seconds == pytest.approx(2 * HOUR, abs=300)


def test_runs_from_before_hours_were_kept_are_told_of_and_not_guessed(engine: Engine, owner: Identity, dataset: str) -> None:
    run_id = add_run(engine, owner, dataset, started_at=utc_now() - timedelta(hours=2), **ended(1))
    with reading(engine) as session:
        board = Board(session, owner, BoardFilter())
        assert board.seconds_held(session.get_one(Run, run_id)) is None
        totals = board.totals()
    assert [(one.runs, one.seconds, one.unmeasured) for one in totals.use] == [(0, 0.0, 1)]


def test_totals_count_the_project_and_what_ended_in_a_day(engine: Engine, owner: Identity, team: None, dataset: str) -> None:
    add_run(engine, owner, dataset, **ended(2, RunStatus.FAILED))
    add_run(engine, owner, dataset, status=RunStatus.PAUSED)
    with reading(engine) as session:
        totals = Board(session, owner, BoardFilter(runs=RunFilter(owner="Lena"))).totals()
    assert (totals.running, totals.waiting, totals.done_lately, totals.failed_lately) == (2, 2, 1, 1)
