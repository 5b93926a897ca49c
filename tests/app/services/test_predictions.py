"""What was foretold of runs is held against what they took, and the next one is told by it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Engine

from app.db import Run, WorkerRow, metrics
from app.db.session import reading, unit_of_work
from app.domain.accelerators import ACCELERATORS
from app.domain.architectures import Architecture
from app.domain.beside_steps import ON_GPU
from app.domain.devices import Device, as_facts
from app.domain.estimates import Target
from app.domain.holds import FACT, Hold
from app.domain.packs import Work
from app.domain.prices import PriceTable
from app.domain.specs import TrainingSettings
from app.services.accounts import Identity
from app.services.estimates import Estimates
from app.services.predictions import Record, foretell, learned_devices, outcome_of, record_of
from tests.databases import add_dataset, add_run

L4 = "NVIDIA L4"
BASE, WORK = Architecture.of_size(1e9), Work(rows=100, steps=50, mean_tokens=200, longest_tokens=400)
BEGAN = 1_800_000_000.0


TARGET = Target(f"own:{L4}", L4, ACCELERATORS["l4"]._replace(name=L4), 1, None, None, is_own=True)


def foretold(**changes: Any) -> dict[str, Any]:
    found = foretell((BASE, TrainingSettings(max_steps=50), WORK), [TARGET], PriceTable())
    return found | changes


def ended(engine: Engine, by: Identity, *, seconds: float = 130.0, peak: float = 3e9, **columns: Any) -> str:
    """A run of fifty steps that began thirty seconds after it was taken."""
    holds = columns.pop("holds", [Hold(begin=BEGAN, end=BEGAN + seconds, host="cellar", device=L4)])
    facts = {FACT: [hold.model_dump() for hold in holds]} | columns.pop("facts", {})
    spec = {"settings": {"batch_size": TrainingSettings().batch_size}}
    wanted = {"estimate": foretold(), "spec": spec, "status": "succeeded", "step": 50, "total_steps": 50} | columns
    run_id = add_run(engine, by, add_dataset(engine, by), facts=facts, started_at=datetime.fromtimestamp(BEGAN + 30, UTC), **wanted)
    with unit_of_work(engine) as session:
        metrics.append(session, run_id, 1, [metrics.Point(50, "memory/peak_bytes", peak)])
    return run_id


def record(engine: Engine, by: Identity) -> Record:
    with reading(engine) as session:
        return record_of(session, by)


def test_an_estimate_is_kept_for_the_device_a_run_will_go_to() -> None:
    kept = foretold()
    assert (kept["device"]["name"], kept["currency"]) == (L4, "USD")
    assert kept["flops"] > 1e12
    assert kept["memory"]["total"] == sum(part["bytes"] for part in kept["memory"]["parts"])
    assert foretell((BASE, TrainingSettings(), WORK), [], PriceTable()) == {}


def test_what_a_run_took_stands_beside_what_was_foretold(engine: Engine, owner: Identity) -> None:
    run_id = ended(engine, owner)
    [found] = record(engine, owner).outcomes
    assert (found.run_id, found.device, found.is_elsewhere) == (run_id, L4, False)
    assert found.memory is not None
    assert found.time is not None
    assert (found.memory.measured, found.time.measured) == (3e9, 130.0)
    assert found.time.predicted == foretold()["time"]["seconds"]
    assert found.money is not None
    assert found.money.error == pytest.approx(found.time.error)


def test_time_is_compared_of_whole_runs_alone(engine: Engine, owner: Identity) -> None:
    ended(engine, owner, status="stopped", step=20)
    [found] = record(engine, owner).outcomes
    assert (found.time, found.money) == (None, None)
    assert found.memory is not None


def test_another_device_than_foretold_is_not_compared(engine: Engine, owner: Identity) -> None:
    ended(engine, owner, holds=[Hold(begin=BEGAN, end=BEGAN + 60, host="cellar", device="CPU, 2 cores")])
    found = record(engine, owner)
    assert found.outcomes[0].is_elsewhere
    assert (found.memory.runs, found.time.runs) == (0, 0)


def test_runs_without_an_estimate_and_those_of_others_are_left_out(engine: Engine, owner: Identity) -> None:
    run_id = ended(engine, owner, estimate={})
    ended(engine, owner)
    assert len(record(engine, owner).outcomes) == 1
    assert record(engine, Identity("u", "x", "other", "other")).outcomes == []
    with reading(engine) as session:
        assert outcome_of(session, session.get_one(Run, run_id)) is None


def test_a_run_that_goes_on_is_compared_as_far_as_it_has_come(engine: Engine, owner: Identity) -> None:
    run_id = ended(engine, owner, status="running", step=10)
    with reading(engine) as session:
        found = outcome_of(session, session.get_one(Run, run_id))
    assert found is not None
    assert (found.memory is not None, found.time) == (True, None)


def test_a_device_is_learned_from_runs_that_were_held_once(engine: Engine, owner: Identity) -> None:
    ended(engine, owner)
    ended(engine, owner, holds=[Hold(begin=BEGAN + gap, end=BEGAN + gap + 9, host="cellar", device=L4) for gap in (0, 100)])
    ended(engine, owner, step=2, status="stopped")
    with reading(engine) as session:
        [(device, learned)] = learned_devices(session).items()
    assert (device, learned.startup.likely, learned.rates["bf16"].samples) == (L4, 30.0, 1)
    assert learned.rates["bf16"].flops_per_second == pytest.approx(foretold()["flops"] / 100)


def test_of_a_run_that_was_stopped_the_steps_it_did_were_full_ones(engine: Engine, owner: Identity) -> None:
    short = foretell((BASE, TrainingSettings(epochs=1, batch_size=30), Work(**WORK.model_dump() | {"steps": 4})), [TARGET], PriceTable())
    ended(engine, owner, estimate=short, spec={"settings": {"batch_size": 30}}, status="stopped", step=3, total_steps=4)
    ended(engine, owner, estimate=short, spec={"settings": {"batch_size": 30}}, step=4, total_steps=4)
    with reading(engine) as session:
        shown = learned_devices(session)[L4].rates["bf16"].shown
    assert [each.flops / short["flops"] for each in shown] == pytest.approx([1.0, 0.9])


def test_the_seconds_of_answers_are_none_of_steps(engine: Engine, owner: Identity) -> None:
    ended(engine, owner, estimate=foretold(answering=20.0, answering_at_most=70.0))
    with reading(engine) as session:
        [shown] = learned_devices(session)[L4].rates["bf16"].shown
    assert (shown.seconds, shown.least_seconds) == pytest.approx((80.0, 30.0))
    assert shown.per_token == foretold()["per_token"]


def test_the_next_run_is_told_by_what_the_last_has_shown(engine: Engine, owner: Identity) -> None:
    card = Device(name=L4, kind="gpu", total_bytes=24 * 10**9, used_bytes=0)
    with unit_of_work(engine) as session:
        session.add(WorkerRow(host="cellar", pid=7, queue="gpu", device=L4, has_gpu=True, facts=as_facts([card])))

    def own() -> Target:
        with reading(engine) as session:
            return next(each for each in Estimates(session).targets(owner) if each.is_own)

    assert own().beside == ON_GPU
    ended(engine, owner)
    assert (own().beside.startup.likely, own().rate("bf16").source) == (30.0, "learned from 1 run in bf16 on this device")


@pytest.mark.parametrize(
    "columns", [{"estimate": {"precision": "fp32"}}, {"facts": {"precision": "fp32"}}], ids=["foretold", "told by the trainer"]
)
def test_what_ran_in_float32_is_no_rate_of_bf16(engine: Engine, owner: Identity, columns: dict[str, Any]) -> None:
    ended(engine, owner, estimate=foretold() | columns.get("estimate", {}), facts=columns.get("facts", {}))
    with reading(engine) as session:
        assert set(learned_devices(session)[L4].rates) == {"fp32"}


def test_errors_run_from_the_oldest_to_the_newest(engine: Engine, owner: Identity) -> None:
    whole = foretold()["memory"]
    total = whole["total"] - sum(part["bytes"] for part in whole["parts"] if part["key"] in {"context", "margin"})
    for peak in (total / 2, total, total):
        ended(engine, owner, peak=peak)
    assert record(engine, owner).running("memory") == pytest.approx([1.0, 0.5, 0.0])
