"""Several processes compute a step, and it comes to what one would make of it; when one is lost, the run goes on."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch

from app.domain.events import Started
from app.domain.specs import TrainingSettings
from tests.waiting import PATIENCE_SECONDS, until
from tests.workers.training.conftest import Train
from tests.workers.training.engine_side import FEW_TOKENS, engine_model, engine_step, learner
from tests.workers.training.families import FAMILIES
from tests.workers.training.reference import Rows, Step, faults, taken_gradients
from tests.workers.training.row_kinds import STEPS
from tests.workers.training.tiny import curve, last, notices
from workers.training import replicas, run
from workers.training.batches import Batch, Layout, in_parts
from workers.training.budget import Budget
from workers.training.control import Leave
from workers.training.layouts import choose_layout
from workers.training.loop import StepLoop
from workers.training.masks import MaskedRow
from workers.training.model import LoadedModel
from workers.training.replicas import ReplicaLost, Replicas, Work, replicas_that_pay

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets libraries outlive a fork")
PLAIN = STEPS["plain"]


def still() -> None:
    """Nobody wants anything."""


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A replica may get its turn late; a trainer would go on without it."""
    monkeypatch.setattr(replicas, "READY_SECONDS", PATIENCE_SECONDS)


def pipes() -> set[str]:
    """Return the pipes that this process holds: other things may come and go meanwhile."""
    return {held for held in map(pointed_at, Path("/proc/self/fd").iterdir()) if held.startswith("pipe:")}


def pointed_at(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except OSError:  # what lists them is one of them
        return ""


def children() -> set[psutil.Process]:
    return set(psutil.Process().children())


def has_ended(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """A small Llama that reads packs, with an adapter."""
    family = next(family for family in FAMILIES if family.name == "llama")
    loaded = engine_model(family.write(tmp_path_factory.mktemp("base")))
    assert choose_layout(loaded.loss).layout is Layout.SHARED_PREFIX
    return loaded


@pytest.fixture
def started(model: LoadedModel) -> Iterator[Replicas]:
    """Two replicas of it."""
    made = Replicas(Work(model.loss, model.trainable(), [row for _, row in PLAIN], Layout.PACKED))
    made.start(2)
    assert made.processes == 3
    yield made
    made.close()


def laid_out(rows: Rows, team: Replicas) -> list[Batch]:
    """Return a step's batches as a run divides them."""
    budget = Budget(None, 3 * FEW_TOKENS, SimpleNamespace(), Layout.PACKED, processes=team.processes)  # type: ignore[arg-type]
    return budget.lay_out_step(rows)


def step_of(model: LoadedModel, team: Replicas, rows: Rows) -> Step:
    """Return what all processes make of a step together."""
    batches = laid_out(rows, team)
    tokens = sum(len(batch.targets) for batch in batches)
    with team.computing(batches, tokens, still) as (mine, losses):
        summed = sum(model.loss.learn(batch, tokens) for batch in mine)
    return Step((summed + sum(losses)) / tokens, taken_gradients(learner(model)))


def move(model: LoadedModel) -> None:
    """Move the weights as an optimiser does: in place."""
    with torch.no_grad():
        for weight in model.trainable():
            weight.add_(0.01 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(weight.numel())))


@pytest.mark.parametrize("rows", [PLAIN, PLAIN[:2], PLAIN[:1]], ids=["six rows", "fewer rows than processes", "one row"])
def test_a_step_comes_to_the_same_before_and_after_the_weights_have_moved(model: LoadedModel, started: Replicas, rows: Rows) -> None:
    for _ in range(3):
        assert faults(step_of(model, started, rows), engine_step(model, rows, Layout.PACKED)) == []
        move(model)


def test_control_with_memory_of_its_own_a_replica_adds_nothing(model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replicas, "_shared_like", torch.zeros_like)
    team = Replicas(Work(model.loss, model.trainable(), [row for _, row in PLAIN], Layout.PACKED))
    team.start(1)
    try:
        assert faults(step_of(model, team, PLAIN), engine_step(model, PLAIN, Layout.PACKED))
    finally:
        team.close()


def test_one_that_is_gone_is_told(model: LoadedModel, started: Replicas) -> None:
    os.kill(started.members[1].process, signal.SIGKILL)
    with pytest.raises(ReplicaLost, match="is gone"):
        step_of(model, started, PLAIN)
    model.base.zero_grad()


@pytest.mark.parametrize(("took", "looks"), [(0.0, 120), (1.0, 160)])
def test_one_that_does_not_answer_is_waited_for_a_minute_and_twenty_times_the_trainer_s_own_part(
    started: Replicas, monkeypatch: pytest.MonkeyPatch, took: float, looks: int
) -> None:
    clock, looked = [0.0], list[int]()
    monkeypatch.setattr(replicas, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr(replicas, "has_something", lambda *_: False)
    with pytest.raises(ReplicaLost, match="does not answer"), started.computing(laid_out(PLAIN, started), 1, lambda: looked.append(1)):
        clock[0] += took
    assert len(looked) == looks


@pytest.mark.parametrize(("call", "allowed"), [("fork", 1), ("pipe", 3)])
def test_where_the_system_refuses_one_of_them_nothing_is_left_of_the_others(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch, call: str, allowed: int
) -> None:
    true, left = getattr(os, call), iter(range(allowed))

    def refused() -> Any:
        if next(left, None) is None:
            raise OSError(errno.EAGAIN, "refused")
        return true()

    before = children(), pipes()
    team = Replicas(Work(model.loss, model.trainable(), [], Layout.PACKED))
    monkeypatch.setattr(os, call, refused)
    team.start(2)
    assert team.processes == 1
    assert (children() - before[0], pipes() - before[1]) == (set(), set())


def test_whoever_waits_for_one_can_be_asked_to_leave(model: LoadedModel, started: Replicas) -> None:
    os.kill(started.members[0].process, signal.SIGSTOP)

    def asked() -> None:
        raise Leave("cancel")

    with pytest.raises(Leave), started.computing(laid_out(PLAIN, started), 1, asked):
        pass
    model.base.zero_grad()


def test_it_holds_no_file_of_the_trainer_s_and_ends_with_it(tmp_path: Path) -> None:
    program = (
        "import sys, time; from types import SimpleNamespace; from workers.training.replicas import Replicas, Work;"
        "lock = open(sys.argv[1], 'w');"
        "team = Replicas(Work(None, [], [], None)); team.start(1); print(team.members[0].process, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", program, tmp_path / "lock"], stdout=subprocess.PIPE, text=True) as trainer:
        assert trainer.stdout is not None
        replica = psutil.Process(int(trainer.stdout.readline()))
        until(lambda: str(tmp_path / "lock") not in {file.path for file in replica.open_files()})
        trainer.kill()
    until(lambda: has_ended(replica))


@pytest.fixture
def with_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a run take one replica, though its steps are small."""
    monkeypatch.setattr(run, "replicas_that_pay", lambda *_: 1)


SHORT_RUN = {"max_steps": 8, "checkpoint_every_steps": 3, "eval_every_steps": 4}


def test_a_run_learns_the_same_with_one_and_bit_for_bit_the_same_after_a_pause(
    train_here: Train, with_one: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = children()
    code, together = train_here(out="together", **SHORT_RUN)
    assert code == 0
    assert next(event.data for event in together if isinstance(event, Started))["processes"] == 2
    true = StepLoop._report
    paused: list[int] = []

    def pause_once(loop: StepLoop, step: int, result: Any) -> None:
        true(loop, step, result)
        if step == 5 and not paused:
            paused.append(step)
            loop.control.ask("pause")

    with monkeypatch.context() as patch:
        patch.setattr(StepLoop, "_report", pause_once)
        train_here(out="cut", **SHORT_RUN)
    _, cut = train_here(out="cut", **SHORT_RUN)
    assert curve(cut) == curve(together)
    assert children() - before == set()
    with monkeypatch.context() as patch:
        patch.setattr(run, "replicas_that_pay", lambda *_: 0)
        _, alone = train_here(out="alone", **SHORT_RUN)
    assert curve(alone) == pytest.approx(curve(together), rel=1e-4)


@pytest.mark.parametrize("fault", ["killed", "stopped", "short"])
def test_a_run_goes_on_without_one_that_fails(train_here: Train, with_one: None, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(run, "replicas_that_pay", lambda *_: 0)
        _, alone = train_here(out="alone", **SHORT_RUN)
    true = StepLoop._report

    def hurt(loop: StepLoop, step: int, result: Any) -> None:
        true(loop, step, result)
        if step == 3:
            monkeypatch.setattr(replicas, "PATIENCE", 2.0)  # from here on: one that is slow to begin is none that fails
            os.kill(loop.replicas.members[0].process, signal.SIGSTOP if fault == "stopped" else signal.SIGKILL)

    if fault == "short":
        monkeypatch.setattr(replicas, "_computed", lambda *_: {"short": True})
    else:
        monkeypatch.setattr(StepLoop, "_report", hurt)
    code, events = train_here(out="hurt", **SHORT_RUN)
    assert (code, last(events).status) == (0, "succeeded")
    assert curve(events) == pytest.approx(curve(alone), rel=1e-4)
    told = [line for line in notices(events).splitlines() if "goes on without them" in line]
    assert len(told) == 1
    assert ("memory" in told[0]) == (fault == "short")


SETTINGS = TrainingSettings(batch_size=16)


@pytest.mark.parametrize(
    ("changes", "share", "layout", "many"),
    [
        ({}, 0.0, Layout.SHARED_PREFIX, 1),
        ({}, 0.5, Layout.SHARED_PREFIX, 0),
        ({}, 0.0, Layout.PADDED, 0),
        ({"dropout": 0.1}, 0.0, Layout.SHARED_PREFIX, 0),
        ({"batch_size": 2}, 0.0, Layout.SHARED_PREFIX, 0),
    ],
)
def test_replicas_are_for_steps_that_can_be_divided(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], share: float, layout: Layout, many: int
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    rows = [row for _, row in PLAIN] * 10
    monkeypatch.setattr(replicas, "LEAST_TOKENS", sum(len(row.ids) for row in rows) / len(rows) * 4)
    assert replicas_that_pay(model, rows, SETTINGS.model_copy(update=changes), layout, share) == many


def test_rows_are_divided_by_their_tokens() -> None:
    def length(numbered: tuple[int, MaskedRow]) -> int:
        return len(numbered[1].ids)

    parts = in_parts(PLAIN, 2, length)
    assert sorted(number for part in parts for number, _ in part) == [number for number, _ in PLAIN]
    one, two = (sum(map(length, part)) for part in parts)
    assert abs(one - two) <= max(map(length, PLAIN))
    assert in_parts(PLAIN, 1, length) == [PLAIN]
