"""The heartbeat keeps a lease, and notices when it is gone."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest
from sqlalchemy import Engine, update
from sqlalchemy.exc import OperationalError

import workers.heartbeat
from app.db import Run
from app.db.base import database_clock
from app.db.counters import STALE_WRITE_REJECTED, counted
from app.db.leases import claim, expired, held
from app.db.session import reading, unit_of_work
from app.domain.errors import LeaseLost
from app.domain.runs import RunStatus
from app.services.accounts import Identity
from tests.databases import add_dataset, add_run
from tests.waiting import until
from workers.heartbeat import Heartbeat


@pytest.fixture
def run_id(engine: Engine, owner: Identity) -> str:
    """A run that is held."""
    made = add_run(engine, owner, add_dataset(engine, owner))
    with unit_of_work(engine) as session:
        claim(session, Run, "w", "gpu", has_gpu=False)
    return made


def is_expired(engine: Engine, run_id: str) -> bool:
    with unit_of_work(engine) as session:
        return bool(expired(session, Run, work_id=run_id, token=1))


def test_a_lease_is_extended_while_it_beats(engine: Engine, run_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # A beat each second of a lease so long that no busy machine lets half of it pass in between.
    monkeypatch.setattr(workers.heartbeat, "BEATS_PER_LEASE", 1000)
    with unit_of_work(engine) as session:
        session.execute(update(Run).values(lease_expires_at=database_clock() - 1))
    assert is_expired(engine, run_id)
    with Heartbeat(engine, Run, run_id, 1, lease_seconds=1000.0) as heartbeat:
        until(lambda: not is_expired(engine, run_id))
        heartbeat.check()


def test_it_stops_when_somebody_else_holds_the_work(engine: Engine, run_id: str) -> None:
    with unit_of_work(engine) as session:
        session.execute(update(Run).values(lease_token=2))
    with Heartbeat(engine, Run, run_id, 1, lease_seconds=1.0) as heartbeat:
        until(heartbeat.lost.is_set)
        with pytest.raises(LeaseLost):
            heartbeat.check()
        # In here: what is refused once nobody asks any more is not counted, and it counts only after it has said that the lease is lost.
        assert until(lambda: refusals(engine)) == {STALE_WRITE_REJECTED: 1}


def refusals(engine: Engine) -> dict[str, int]:
    with reading(engine) as session:
        return counted(session)


def test_that_it_beats_once_more_after_the_end_is_no_refusal(engine: Engine, run_id: str) -> None:
    with Heartbeat(engine, Run, run_id, 1, lease_seconds=1.0) as heartbeat:
        with unit_of_work(engine) as session:
            held(session, Run, run_id, 1).move_to(RunStatus.FAILED)
        until(heartbeat.lost.is_set)
    assert refusals(engine) == {}


@pytest.mark.parametrize("trouble", ["it refuses", "it hangs"])
def test_half_a_lease_without_the_database_is_too_long(engine: Engine, run_id: str, monkeypatch: pytest.MonkeyPatch, trouble: str) -> None:
    asked, over = threading.Event(), threading.Event()

    def extend(*_: object) -> None:
        asked.set()
        if trouble == "it hangs":
            over.wait(30)
        raise OperationalError("UPDATE", {}, Exception("server closed the connection"))

    monkeypatch.setattr(workers.heartbeat, "extend", extend)
    with Heartbeat(engine, Run, run_id, 1, lease_seconds=0.4) as heartbeat:
        assert asked.wait(30)
        until(lambda: is_lost(heartbeat))
        over.set()


def test_a_sign_that_did_not_get_there_is_given_again_before_it_is_too_late(
    engine: Engine, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock that goes on only while it waits, so that nothing depends on when a thread has its turn."""
    now, signs = [0.0], list[tuple[float, bool]]()

    def wait(seconds: float) -> bool:
        now[0] += seconds
        return len(signs) == 2

    def extend(*_: object) -> None:
        signs.append((now[0], is_lost(heartbeat)))
        if len(signs) == 1:
            now[0] += 0.3  # as one waits for a file's lock
            raise OperationalError("UPDATE", {}, Exception("database is locked"))

    monkeypatch.setattr(workers.heartbeat, "extend", extend)
    monkeypatch.setattr(workers.heartbeat, "time", SimpleNamespace(monotonic=lambda: now[0]))
    heartbeat = Heartbeat(engine, Run, run_id, 1, lease_seconds=12.0)
    monkeypatch.setattr(heartbeat._done, "wait", wait)
    heartbeat._beat()
    # It is lost after 6 seconds; a sign that waited for the next beat would come after 6.3.
    assert signs == [(3.0, False), (3.5, False)]
    assert not is_lost(heartbeat)


def is_lost(heartbeat: Heartbeat) -> bool:
    try:
        heartbeat.check()
    except LeaseLost:
        return True
    return False
