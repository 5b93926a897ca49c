"""Which workers count: those heard of lately, and none whose process is known to be gone."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from sqlalchemy import Engine

from app.db import Run, WorkerRow
from app.db.base import database_clock
from app.db.leases import claim, expired
from app.db.session import reading, unit_of_work
from app.gateways.lifeline import is_running, process_space
from app.services.accounts import Identity
from app.services.workers import Workers, WorkerState
from tests.databases import add_dataset, add_run


def add_worker(engine: Engine, name: str, pid: int, space: str) -> None:
    with unit_of_work(engine) as session:
        session.add(WorkerRow(host=name, pid=pid, queue="cpu", device="CPU", facts={"process_space": space}))


def ended_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_after_a_kill_the_dead_of_this_machine_are_struck_off_and_nobody_else(engine: Engine) -> None:
    gone = ended_process()
    add_worker(engine, "dead", gone, process_space())
    add_worker(engine, "alive", os.getpid(), process_space())
    add_worker(engine, "elsewhere", gone, "another boot")
    with unit_of_work(engine) as session:
        Workers(session).strike_off_dead(process_space(), is_running)
    with reading(engine) as session:
        assert {row.host for row in Workers(session).alive()} == {"alive", "elsewhere"}


def test_what_the_dead_held_need_not_be_waited_for(engine: Engine, owner: Identity) -> None:
    run_id = add_run(engine, owner, add_dataset(engine, owner))
    add_worker(engine, "dead", ended_process(), process_space())
    with unit_of_work(engine) as session:
        [dead] = Workers(session).alive()
        assert claim(session, Run, dead.id, "gpu", has_gpu=False)
    with unit_of_work(engine) as session:
        Workers(session).strike_off_dead(process_space(), is_running)
    with unit_of_work(engine) as session:
        assert expired(session, Run, work_id=run_id, token=1)


@pytest.mark.parametrize(("lease_seconds", "is_alive"), [(10, False), (120, True), (None, True)])
def test_each_worker_is_judged_by_its_own_lease_wherever_it_is_asked_for(
    engine: Engine, lease_seconds: float | None, *, is_alive: bool
) -> None:
    facts = {} if lease_seconds is None else {"lease_seconds": lease_seconds}
    with unit_of_work(engine) as session:
        session.add(WorkerRow(host="x", pid=1, queue="cpu", device="CPU", facts=facts, updated_at=database_clock() - 30))
    with reading(engine) as session:
        assert bool(Workers(session).alive()) is is_alive
        [known] = Workers(session).known()
        assert (known.state != WorkerState.LOST) is is_alive


def test_a_process_that_nobody_has_noticed_to_be_gone_works_no_more() -> None:
    with subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.read()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # ended, and left as it is
        assert not is_running(process.pid)
    assert is_running(os.getpid())
