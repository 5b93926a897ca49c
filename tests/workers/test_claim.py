"""A lease from its claim to its end, with children that succeed, fail, die, obey or do not."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select, update
from sqlalchemy.orm import Session

import workers.claim
import workers.sweep
from app.db import CheckpointRow, Run, Webhook, WebhookDelivery
from app.db.artifacts import Artifact
from app.db.base import database_clock, database_time
from app.db.counters import LEASE_EXPIRED, counted
from app.db.holds import begin_hold
from app.db.leases import claim, expired
from app.db.metrics import read
from app.db.session import reading, unit_of_work
from app.domain.events import Command, Finished
from app.domain.holds import holds_of
from app.domain.webhooks import Ending
from app.services.accounts import Identity
from tests.databases import add_dataset, add_run
from tests.workers.scenes import Play, Scripted, ask, kinds_of, once_it_runs, play, run_id, state, worker
from workers.child import Child
from workers.kinds import KINDS
from workers.sweep import sweep
from workers.training_work import PackedAdapter
from workers.worker import Worker

__all__ = ["play", "run_id", "worker"]


def test_success_enters_model_and_state_in_one_commit(engine: Engine, play: Play, run_id: str) -> None:
    play("succeeds")
    run = state(engine, run_id)
    assert (run.status, run.step, run.lease_owner) == ("succeeded", 1, None)
    assert run.model is not None
    assert run.adapter_id is not None
    assert run.finished_at is not None
    with reading(engine) as session:
        assert [p.value for p in read(session, run_id, "train/loss")] == [2.0]


def test_a_failure_keeps_its_reason_and_code(engine: Engine, play: Play, run_id: str) -> None:
    play("fails")
    run = state(engine, run_id)
    assert (run.status, run.reason, run.error_code, run.model) == ("failed", "No row has an answer.", "no_trained_tokens", None)


def test_three_deaths_without_progress_are_the_end(engine: Engine, play: Play, run_id: str) -> None:
    for crashes in (1, 2):
        play("dies")
        run = state(engine, run_id)
        assert (run.status, run.crashes_since_progress, run.step) == ("queued", crashes, 0)
    play("dies")
    run = state(engine, run_id)
    assert (run.status, run.error_code, run.attempt) == ("failed", "worker_crash_loop", 3)
    assert kinds_of(engine, run_id).count("lost") == 3


def test_progress_pays_back_the_crash_budget(engine: Engine, play: Play, run_id: str) -> None:
    for _ in range(4):
        play("dies after a checkpoint")
    run = state(engine, run_id)
    assert (run.status, run.crashes_since_progress, run.checkpoint_step, run.step) == ("queued", 1, 1, 1)
    with reading(engine) as session:
        kept = select(CheckpointRow.path).where(CheckpointRow.run_id == run_id).order_by(CheckpointRow.lease_token.desc())
        assert session.scalars(kept).first() == "checkpoints/1-t4"


@pytest.mark.parametrize(("action", "end"), [("pause", "paused"), ("stop", "stopped"), ("cancel", "cancelled")])
def test_a_wish_reaches_the_child(engine: Engine, owner: Identity, play: Play, run_id: str, action: str, end: str) -> None:
    asking = once_it_runs(engine, run_id, lambda: ask(engine, owner, run_id, action))
    play("obeys")
    asking.join()
    run = state(engine, run_id)
    assert (run.status, run.crashes_since_progress) == (end, 0)
    assert (run.model is not None) == (end == "stopped")


def test_a_child_that_does_not_obey_is_killed(
    engine: Engine, owner: Identity, play: Play, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(workers.claim.PATIENCE_SECONDS, "cancel", 0.5)
    asking = once_it_runs(engine, run_id, lambda: ask(engine, owner, run_id, "cancel"))
    play("stubborn")
    asking.join()
    assert state(engine, run_id).status == "cancelled"


@pytest.mark.parametrize("scenario", ["waits", "stubborn"])
def test_a_worker_that_leaves_gives_the_run_back_without_a_crash(
    engine: Engine, worker: Worker, play: Play, run_id: str, scenario: str
) -> None:
    leaving = once_it_runs(engine, run_id, worker.leaving.set)
    play(scenario)
    leaving.join()
    run = state(engine, run_id)
    assert (run.status, run.crashes_since_progress) == ("queued", 0)
    assert "interrupted" in kinds_of(engine, run_id)


def test_a_holder_that_lost_its_lease_writes_nothing_more(engine: Engine, play: Play, run_id: str) -> None:
    def steal() -> None:
        with unit_of_work(engine) as session:
            session.execute(update(Run).where(Run.id == run_id).values(status="queued"))
            claim(session, Run, "thief", "gpu", has_gpu=False)

    thief = once_it_runs(engine, run_id, steal)
    play("waits")
    thief.join()
    run = state(engine, run_id)
    assert (run.status, run.lease_owner, run.lease_token) == ("starting", "thief", 2)


@pytest.mark.parametrize(
    ("now", "after"),
    [("running", "queued"), ("starting", "queued"), ("finalizing", "queued"), ("pausing", "paused"), ("cancelling", "cancelled")],
)
def test_the_sweep_settles_what_its_worker_left(engine: Engine, worker: Worker, run_id: str, now: str, after: str) -> None:
    with unit_of_work(engine) as session:
        claim(session, Run, "gone", "gpu", has_gpu=False)
    with unit_of_work(engine) as session:
        session.execute(update(Run).values(status=now, step=7, checkpoint_step=5))
    assert sweep(worker) == 0
    with unit_of_work(engine) as session:
        session.execute(update(Run).values(lease_expires_at=database_clock() - 1))
    assert sweep(worker) == 1
    run = state(engine, run_id)
    assert (run.status, run.lease_expires_at) == (after, None)
    assert run.step == (7 if after == "cancelled" else 5)
    assert kinds_of(engine, run_id) == ["lost"]
    with reading(engine) as session:
        assert counted(session) == {LEASE_EXPIRED: 1}


def test_a_run_whose_worker_is_lost_three_times_says_so(engine: Engine, worker: Worker, run_id: str) -> None:
    for _ in range(3):
        with unit_of_work(engine) as session:
            claim(session, Run, "gone", "gpu", has_gpu=False)
            session.execute(update(Run).values(lease_expires_at=database_clock() - 1))
        assert sweep(worker) == 1
    run = state(engine, run_id)
    assert (run.status, run.error_code) == ("failed", "worker_lost")
    assert run.reason.startswith("The worker was lost: no sign of life within its lease. That was the 3rd time without progress")


def test_the_sweep_gives_a_stopped_run_its_newest_checkpoint(
    engine: Engine, worker: Worker, run_id: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(KINDS, "run", Scripted("dies after a checkpoint", tmp_path))
    with unit_of_work(engine) as session:
        claim(session, Run, "gone", "gpu", has_gpu=False)
    with unit_of_work(engine) as session:
        session.execute(update(Run).values(status="stopping", lease_expires_at=database_clock() - 1))
    sweep(worker)
    run = state(engine, run_id)
    assert (run.status, run.step) == ("stopped", 1)
    assert run.model is not None


def lose_all(engine: Engine, **status: str) -> None:
    """Have the leases of runs run out in the states given, by id."""
    with unit_of_work(engine) as session:
        for run_id, now in status.items():
            gone = {"status": now, "lease_owner": "gone", "lease_token": 1, "lease_expires_at": database_clock() - 1}
            session.execute(update(Run).where(Run.id == run_id).values(**gone))


def test_a_stop_that_comes_between_the_looks_of_a_sweep_is_for_the_next_one(
    engine: Engine, worker: Worker, run_id: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(KINDS, "run", Scripted("dies after a checkpoint", tmp_path))
    lose_all(engine, **{run_id: "running"})

    def stop_first(session: Session, *looked_for: Any, **by: Any) -> Any:
        session.execute(update(Run).values(status="stopping"))
        return expired(session, *looked_for, **by)

    with monkeypatch.context() as between:
        between.setattr(workers.sweep, "expired", stop_first)
        assert sweep(worker) == 0
    assert state(engine, run_id).status == "stopping"
    assert sweep(worker) == 1
    run = state(engine, run_id)
    assert run.status == "stopped"
    assert run.model is not None


def test_what_has_to_be_packed_first_keeps_no_other_lost_run_waiting_and_nor_does_what_cannot_be_settled(
    engine: Engine, owner: Identity, worker: Worker, run_id: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(KINDS, "run", Scripted("dies after a checkpoint", tmp_path))
    dataset = add_dataset(engine, owner)
    second, running = add_run(engine, owner, dataset), add_run(engine, owner, dataset)
    lose_all(engine, **{run_id: "stopping", second: "stopping", running: "running"})
    package, meanwhile = Scripted.package, list[str]()

    def look_first(self: Scripted, worker: Worker, work_id: str, token: int, finished: Finished | None) -> PackedAdapter | None:
        meanwhile.append(state(engine, running).status)
        return {second: package(self, worker, work_id, token, finished)}[work_id]

    monkeypatch.setattr(Scripted, "package", look_first)
    assert sweep(worker) == 2
    assert [state(engine, one).status for one in (run_id, second)] == ["stopping", "stopped"]
    assert meanwhile == ["queued", "queued"]


def test_a_second_stop_replaces_the_first_adapter_and_a_cancel_leaves_only_the_record(
    engine: Engine, worker: Worker, owner: Identity, play: Play, run_id: str
) -> None:
    for _ in range(2):
        asking = once_it_runs(engine, run_id, lambda: ask(engine, owner, run_id, "stop"))
        play("obeys")
        asking.join()
        ask(engine, owner, run_id, "resume")
    with reading(engine) as session:
        assert len(session.scalars(select(Artifact).where(Artifact.kind == "adapter")).all()) == 1
    ask(engine, owner, run_id, "cancel", worker.storage)
    run = state(engine, run_id)
    assert (run.status, run.model, run.adapter_id) == ("cancelled", None, None)
    assert not [path for path in (worker.storage.folder / "blobs").rglob("*") if path.is_file()]


def test_a_person_who_stops_after_a_pause_was_passed_on_gets_the_model(
    engine: Engine, owner: Identity, play: Play, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pass_on = Child.ask

    def stop_meanwhile(child: Child, command: Command) -> None:
        if command.command == "pause":
            ask(engine, owner, run_id, "stop")
        pass_on(child, command)

    monkeypatch.setattr(Child, "ask", stop_meanwhile)
    asking = once_it_runs(engine, run_id, lambda: ask(engine, owner, run_id, "pause"))
    play("obeys")
    asking.join()
    run = state(engine, run_id)
    assert run.status == "stopped"
    assert run.model is not None


def holds(engine: Engine, run_id: str) -> list[Any]:
    with reading(engine) as session:
        return holds_of(session.get_one(Run, run_id).facts)


def test_a_run_keeps_for_how_long_each_worker_held_it(engine: Engine, play: Play, run_id: str) -> None:
    play("dies")
    play("succeeds")
    kept = holds(engine, run_id)
    assert [(hold.device, bool(hold.host), hold.end is not None) for hold in kept] == [("CPU", True, True)] * 2
    assert kept[0].begin < kept[0].end <= kept[1].begin < kept[1].end


def test_the_hold_of_a_lost_worker_ends_with_its_lease(engine: Engine, worker: Worker, run_id: str) -> None:
    with unit_of_work(engine) as session:
        run = claim(session, Run, "w", "gpu", has_gpu=False)
        assert run is not None
        begin_hold(session, run, host="gone", device="CPU")
        begun = database_time(session)
    with unit_of_work(engine) as session:
        session.execute(update(Run).values(lease_expires_at=begun + 0.001))
    time.sleep(0.02)
    assert sweep(worker) == 1
    [hold] = holds(engine, run_id)
    assert hold.end == pytest.approx(begun + 0.001, abs=0.005)


@pytest.mark.parametrize(("scenarios", "kind"), [(["succeeds"], "run.succeeded"), (["fails"], "run.failed"), (["dies"] * 3, "run.failed")])
def test_each_way_to_end_writes_one_notice_with_it(
    engine: Engine, owner: Identity, play: Play, run_id: str, scenarios: list[str], kind: str
) -> None:
    known = {"url": "https://example.com", "studio_address": "http://studio", "secret": "x", "secret_key_id": "x"}
    with unit_of_work(engine) as session:
        session.add(Webhook(project_id=owner.project_id, events=list(Ending), **known))
    for scenario in scenarios:
        play(scenario)
    with reading(engine) as session:
        [notice] = session.scalars(select(WebhookDelivery)).all()
    told = json.loads(notice.body)
    assert (notice.type, told["type"]) == (kind, kind)
    assert told["data"]["model"] == state(engine, run_id).model
    assert told["data"]["url"] == f"http://studio/runs/{run_id}"
