"""What goes wrong with a child, its disk, its memory or the database, and what becomes of the work."""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Engine, select, update
from sqlalchemy.exc import OperationalError

import workers.child
import workers.claim
import workers.ending
import workers.worker
from app.config import Settings
from app.db import EventRow, MetricPoint, Run
from app.db.base import database_clock
from app.db.leases import claim, holding
from app.db.run_log import log_of
from app.db.session import reading, unit_of_work
from app.domain.diagnosis import FAILURE
from app.domain.errors import StorageUnavailable
from app.domain.events import AnyEvent, Doing, Metric
from app.domain.runs import RunStatus
from app.services.accounts import Identity
from tests.databases import add_dataset, add_run
from tests.workers.scenes import Play, Scripted, ask, kinds_of, once_it_runs, play, run_id, state, worker
from workers.child import Child
from workers.claim import Hold
from workers.kinds import KINDS
from workers.packing import Packing
from workers.sweep import sweep
from workers.worker import Worker

__all__ = ["play", "run_id", "worker"]


def test_the_log_of_every_attempt_is_kept(engine: Engine, play: Play, run_id: str) -> None:
    play("dies")
    play("succeeds")
    with reading(engine) as session:
        assert log_of(session, run_id) == "[attempt 1]\nIt was started.\n\n[attempt 2]\nIt was started.\n"


def test_a_full_disk_pauses_a_run_and_counts_as_no_crash(engine: Engine, owner: Identity, play: Play, run_id: str) -> None:
    play("finds no room")
    run = state(engine, run_id)
    assert (run.status, run.error_code, run.crashes_since_progress, run.lease_owner) == ("paused", "disk_full", 0, None)
    assert run.reason == "The disk at /data is full. Free some space there, then resume the run."
    ask(engine, owner, run_id, "resume")
    play("succeeds")
    run = state(engine, run_id)
    assert (run.status, run.error_code, run.reason) == ("succeeded", None, "")


def test_a_failure_that_is_over_is_not_told_of_a_later_pause(engine: Engine, owner: Identity, play: Play, run_id: str) -> None:
    play("finds no room")
    ask(engine, owner, run_id, "resume")
    ask(engine, owner, run_id, "pause")
    run = state(engine, run_id)
    assert (run.status, run.error_code, run.reason) == ("paused", None, "")


def test_what_fails_while_it_is_cancelled_is_only_cancelled(engine: Engine, owner: Identity, worker: Worker, run_id: str) -> None:
    with unit_of_work(engine) as session:
        claim(session, Run, worker.id, "gpu", has_gpu=False)
    ask(engine, owner, run_id, "cancel")
    Hold(worker, KINDS["run"], run_id, 1)._fail("The disk at /data is full.", "disk_full", {})
    run = state(engine, run_id)
    assert (run.status, run.error_code, run.reason) == ("cancelled", None, "")


def test_what_no_database_holds_costs_no_reason(engine: Engine, play: Play, run_id: str) -> None:
    play("says what no database holds")
    run = state(engine, run_id)
    assert (run.status, run.reason, run.error_code) == ("failed", "The name \ufffd is none.", "no_rows")
    assert run.facts[FAILURE] == {"name": "\ufffd"}


def no_space(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_disk_that_fails_pauses_a_run_too(engine: Engine, play: Play, run_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Scripted, "package", fail)
    play("succeeds")
    run = state(engine, run_id)
    assert (run.status, run.error_code) == ("paused", "storage")
    assert run.reason.endswith("See to the disk, then resume the run.")


def test_a_store_without_room_for_the_adapter_pauses_too(engine: Engine, play: Play, run_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Scripted, "package", no_space)
    play("succeeds")
    run = state(engine, run_id)
    assert (run.status, run.error_code) == ("paused", "disk_full")
    assert "is full" in run.reason or "takes no more" in run.reason


def test_what_was_to_be_stopped_is_stopped_even_where_the_disk_is_full(
    engine: Engine, owner: Identity, play: Play, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Scripted, "package", no_space)
    asking = once_it_runs(engine, run_id, lambda: ask(engine, owner, run_id, "stop"))
    play("obeys")
    asking.join()
    run = state(engine, run_id)
    assert (run.status, run.error_code, run.model) == ("stopped", "disk_full", None)


def test_what_cannot_be_kept_of_one_lost_run_keeps_no_other_waiting(
    engine: Engine, owner: Identity, worker: Worker, run_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(KINDS, "run", Scripted("dies after a checkpoint", tmp_path))
    lost = add_run(engine, owner, add_dataset(engine, owner))
    gone = {"lease_owner": "gone", "lease_expires_at": 1.0}
    with unit_of_work(engine) as session:
        session.execute(update(Run).where(Run.id == run_id).values(status="stopping", **gone))
        session.execute(update(Run).where(Run.id == lost).values(status="running", **gone))
    with monkeypatch.context() as full:
        full.setattr(Scripted, "package", no_space)
        assert sweep(worker) == 1
    assert (state(engine, run_id).status, state(engine, lost).status) == ("stopping", "queued")
    assert sweep(worker) == 1
    assert state(engine, run_id).status == "stopped"


def test_a_child_that_the_kernel_took_for_memory_fails_at_once(
    engine: Engine, play: Play, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kills = count()
    monkeypatch.setattr(workers.ending, "kernel_kills", lambda: next(kills))
    play("dies")
    run = state(engine, run_id)
    assert (run.status, run.error_code, run.crashes_since_progress) == ("failed", "out_of_memory_host", 0)
    assert "memory" in run.reason
    assert run.facts[FAILURE] == {"while": "training"}


def test_silence_is_told_once_and_forgotten_with_the_next_sign(engine: Engine, worker: Worker, run_id: str) -> None:
    with unit_of_work(engine) as session:
        claim(session, Run, worker.id, "gpu", has_gpu=False)
    hold = Hold(worker, KINDS["run"], run_id, 1)
    hold._hear([Doing(what="fetching the base")])
    assert hold.watchdog.phase == "fetching the base"
    hold.watchdog._stall_seconds = 0.0
    hold._tell_of_a_stall()
    hold._tell_of_a_stall()
    assert state(engine, run_id).stalled_at == pytest.approx(time.time(), abs=60)
    hold._hear([Metric(step=1, name="train/loss", value=2.0)])
    hold._write()
    assert state(engine, run_id).stalled_at is None
    with reading(engine) as session:
        [told] = session.scalars(select(EventRow.message).where(EventRow.type == "stalled"))
    assert told == "It seems to hang: no step for 1 min, last: fetching the base."


def test_a_child_that_hangs_is_ended_and_given_up_at_the_third_time(engine: Engine, worker: Worker, play: Play, run_id: str) -> None:
    worker.settings = Settings(home=worker.settings.home, stall_minutes=0.1 / 60)
    for crashes in (1, 2, 3):
        play("stands still")
        assert state(engine, run_id).crashes_since_progress == crashes
    run = state(engine, run_id)
    assert (run.status, run.error_code) == ("failed", "stalled")
    assert "It hung, and so was ended: no step for" in run.reason


@pytest.mark.parametrize("scenario", ["hangs", "hangs with its pipe closed"])
def test_a_child_that_hangs_in_the_system_does_not_hold_its_worker_for_ever(
    engine: Engine, worker: Worker, play: Play, run_id: str, monkeypatch: pytest.MonkeyPatch, scenario: str
) -> None:
    started: list[Child] = []
    prepare = Scripted.prepare

    def remember(self: Scripted, *work: Any) -> Callable[[], Child]:
        start = prepare(self, *work)

        def started_now() -> Child:
            started.append(start())
            return started[0]

        return started_now

    monkeypatch.setattr(Scripted, "prepare", remember)
    monkeypatch.setattr(os, "killpg", lambda *_: None)  # as a process is that waits for a driver
    monkeypatch.setattr(workers.child, "PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(workers.child, "ENDING_SECONDS", 0.1)
    worker.settings = Settings(home=worker.settings.home, stall_minutes=0.1 / 60)
    play(scenario)
    run = state(engine, run_id)
    assert (run.status, run.crashes_since_progress) == ("queued", 1)
    started[0].process.wait(60)


def test_a_worker_that_leaves_gives_its_grace_once(
    engine: Engine, worker: Worker, play: Play, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[bool] = []

    def rest(_: Packing, may_wait: Callable[[], bool]) -> list[AnyEvent]:
        waits.append(may_wait())
        return []

    monkeypatch.setattr(Packing, "rest", rest)
    worker.grace_seconds = 0.2
    leaving = once_it_runs(engine, run_id, worker.leaving.set)
    play("stubborn")
    leaving.join()
    assert waits == [False]


def test_a_database_that_is_away_when_work_begins_costs_nothing(
    engine: Engine, play: Play, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails = iter([True, True])
    prepare = Scripted.prepare

    def prepare_later(self: Scripted, worker: Worker, work_id: str, token: int) -> Callable[[], Child]:
        if next(fails, False):
            raise OperationalError("SELECT", {}, Exception("server closed the connection"))
        return prepare(self, worker, work_id, token)

    monkeypatch.setattr(workers.ending, "ASK_SECONDS", 0.05)
    monkeypatch.setattr(Scripted, "prepare", prepare_later)
    play("succeeds")
    assert (state(engine, run_id).status, state(engine, run_id).attempt) == ("succeeded", 1)


@pytest.mark.parametrize(("action", "end"), [("pause", "paused"), ("stop", "stopped"), ("cancel", "cancelled")])
def test_what_is_still_being_set_up_is_ended_at_once(
    engine: Engine, owner: Identity, play: Play, run_id: str, monkeypatch: pytest.MonkeyPatch, action: str, end: str
) -> None:
    monkeypatch.setitem(workers.claim.PATIENCE_SECONDS, action, 10_000)
    monkeypatch.setattr(workers.claim, "NOTHING_TO_KEEP_SECONDS", 0.1)
    asking = once_it_runs(engine, run_id, lambda: ask(engine, owner, run_id, action), status="starting")
    play("is being set up")
    asking.join()
    assert (state(engine, run_id).status, state(engine, run_id).crashes_since_progress) == (end, 0)


def test_a_database_that_is_away_right_after_a_claim_costs_nothing(
    play: Play, engine: Engine, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_: Engine) -> None:
        raise OperationalError("UPDATE", {}, Exception("server closed the connection"))

    monkeypatch.setattr(workers.worker, "unit_of_work", away)
    play("succeeds")
    assert (state(engine, run_id).status, state(engine, run_id).attempt) == ("succeeded", 1)


def test_a_store_and_a_database_that_are_away_together_cost_nothing_and_are_told_of_once(
    play: Play, engine: Engine, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails, asked_in_vain = iter([True, True, True]), iter([True])
    prepare, status = Scripted.prepare, Hold._status

    def prepare_later(self: Scripted, worker: Worker, work_id: str, token: int) -> Callable[[], Child]:
        if next(fails, False):
            message = "The store does not answer."
            raise StorageUnavailable(message)
        return prepare(self, worker, work_id, token)

    def status_later(self: Hold) -> RunStatus:
        if next(asked_in_vain, False):
            raise OperationalError("SELECT", {}, Exception("server closed the connection"))
        return status(self)

    monkeypatch.setattr(workers.ending, "ASK_SECONDS", 0.05)
    monkeypatch.setattr(Scripted, "prepare", prepare_later)
    monkeypatch.setattr(Hold, "_status", status_later)
    play("succeeds")
    assert (state(engine, run_id).status, state(engine, run_id).attempt) == ("succeeded", 1)
    assert next(asked_in_vain, None) is None
    with reading(engine) as session:
        told = session.scalars(select(EventRow.message).where(EventRow.subject_id == run_id, EventRow.type == "notice")).all()
    assert told == ["It waits for the store. The store does not answer."]


def test_what_is_stopped_without_the_store_by_a_worker_that_leaves_is_kept_once_the_store_is_back(
    engine: Engine, owner: Identity, worker: Worker, run_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        message = "The store does not answer."
        raise StorageUnavailable(message)

    monkeypatch.setitem(KINDS, "run", Scripted("dies after a checkpoint", tmp_path))
    with unit_of_work(engine) as session:
        claim(session, Run, worker.id, "gpu", has_gpu=False)
    ask(engine, owner, run_id, "stop")
    worker.leaving.set()
    with monkeypatch.context() as without_store:
        without_store.setattr(Scripted, "package", away)
        Hold(worker, KINDS["run"], run_id, 1).run()
    assert (state(engine, run_id).status, state(engine, run_id).lease_token) == ("stopping", 1)
    with unit_of_work(engine) as session:
        session.execute(update(Run).values(lease_expires_at=database_clock() - 1))
    assert sweep(worker) == 1
    run = state(engine, run_id)
    assert run.status == "stopped"
    assert run.model is not None


def test_memory_that_ran_out_long_before_a_child_was_killed_has_nothing_to_do_with_it(
    engine: Engine, worker: Worker, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kills = 0
    monkeypatch.setattr(workers.ending, "kernel_kills", lambda: kills)
    with unit_of_work(engine) as session:
        claim(session, Run, worker.id, "gpu", has_gpu=False)
    hold = Hold(worker, KINDS["run"], run_id, 1)
    kills = 1
    for _ in range(2):
        hold._hear([Metric(step=1, name="train/loss", value=2.0)])
    killed: Any = SimpleNamespace(process=SimpleNamespace(returncode=-signal.SIGKILL), was_killed=False)
    hold.child = killed
    hold._end_without_result()
    assert (state(engine, run_id).status, state(engine, run_id).crashes_since_progress) == ("queued", 1)


def test_a_report_whose_commit_was_not_answered_is_entered_once(
    engine: Engine, play: Play, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = iter([True, True, True])

    @contextmanager
    def without_an_answer(*given: Any) -> Iterator[Any]:
        with holding(*given) as held:
            yield held
        if next(lost, False):
            raise OperationalError("COMMIT", {}, Exception("server closed the connection"))

    monkeypatch.setattr(workers.ending, "holding", without_an_answer)
    play("succeeds")
    with reading(engine) as session:
        points = session.execute(select(MetricPoint.name, MetricPoint.step).where(MetricPoint.run_id == run_id)).all()
    assert len(points) == len(set(points)) > 0
    assert kinds_of(engine, run_id).count("started") == 1
    assert state(engine, run_id).status == "succeeded"
