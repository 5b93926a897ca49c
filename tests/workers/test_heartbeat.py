"""The heartbeat keeps a lease, and notices when it is gone."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from sqlalchemy import Engine, update

import workers.heartbeat
from app.db import Run
from app.db.base import database_clock
from app.db.leases import claim, expired
from app.db.session import unit_of_work
from app.domain.errors import LeaseLost
from app.services.accounts import Identity
from tests.databases import add_dataset, add_run, engine, migrated_sqlite, owner, postgresql_url, sqlite_engine
from workers.heartbeat import Heartbeat

__all__ = ["engine", "migrated_sqlite", "owner", "postgresql_url", "sqlite_engine"]


@pytest.fixture
def run_id(engine: Engine, owner: Identity, monkeypatch: pytest.MonkeyPatch) -> str:
    """A run that is held, by a heart that beats fast."""
    monkeypatch.setattr(workers.heartbeat, "HEARTBEAT_SECONDS", 0.05)
    made = add_run(engine, owner, add_dataset(engine, owner))
    with unit_of_work(engine) as session:
        claim(session, Run, "w", "gpu", has_gpu=False)
    return made


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert is_so()


def is_expired(engine: Engine, run_id: str) -> bool:
    with unit_of_work(engine) as session:
        return bool(expired(session, Run, work_id=run_id, token=1))


def test_a_lease_is_extended_while_it_beats(engine: Engine, run_id: str) -> None:
    with unit_of_work(engine) as session:
        session.execute(update(Run).values(lease_expires_at=database_clock() - 1))
    assert is_expired(engine, run_id)
    with Heartbeat(engine, Run, run_id, 1) as heartbeat:
        until(lambda: not is_expired(engine, run_id))
        heartbeat.check()


def test_it_stops_when_somebody_else_holds_the_work(engine: Engine, run_id: str) -> None:
    with Heartbeat(engine, Run, run_id, 1) as heartbeat:
        with unit_of_work(engine) as session:
            session.execute(update(Run).values(lease_token=2))
        until(heartbeat.lost.is_set)
        with pytest.raises(LeaseLost):
            heartbeat.check()


def test_it_gives_the_work_up_when_the_database_is_away_for_too_long(engine: Engine, run_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers.heartbeat, "SELF_FENCE_SECONDS", 0.2)
    with unit_of_work(engine) as session:
        session.execute(update(Run).values(lease_token=1))
    with Heartbeat(engine, Run, run_id, 1) as heartbeat:
        monkeypatch.setattr(workers.heartbeat, "extend", _broken)
        until(heartbeat.lost.is_set)


def _broken(*_: object) -> None:
    from sqlalchemy.exc import OperationalError

    raise OperationalError("UPDATE", {}, Exception("server closed the connection"))
