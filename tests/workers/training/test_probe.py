"""A run that would not fit is planned so that it does, before its first step, and comes to the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from app.domain.events import AnyEvent, Started
from app.domain.specs import TrainingSettings
from tests.workers.training.conftest import Train
from tests.workers.training.engine_side import engine_model
from tests.workers.training.families import FAMILIES
from tests.workers.training.row_kinds import row, some
from tests.workers.training.short_memory import limit_memory
from tests.workers.training.tiny import curve, last, notices
from workers.training import budget, probe
from workers.training.batches import Layout
from workers.training.loop import StepLoop
from workers.training.masks import MaskedRow
from workers.training.memory import Memory, OutOfMemory
from workers.training.memory_plan import Estimate
from workers.training.optim import make_optimiser
from workers.training.probe import heaviest, hold_state

LIMIT = 700_000
"""Bytes: too little for what a step of the tiny base keeps, enough for its halves or for layers computed twice."""


def started(events: list[AnyEvent]) -> Started:
    return next(event for event in events if isinstance(event, Started))


def facts(events: list[AnyEvent]) -> dict[str, Any]:
    return started(events).data


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Have only so many bytes of memory free, and an estimate that leaves out what a real allocator adds."""

    def only(number: float) -> None:
        monkeypatch.setattr(probe, "memory_of", lambda _device: Memory(int(number / probe.SHARE["cpu"]), 10**9, "this machine's memory"))
        monkeypatch.setattr(Estimate, "need", kept_alone)

    def kept_alone(self: Estimate, load: Any, twice: int) -> int:
        return int(sum(layer.of(load) for layer in self.layers[twice:]) + (twice + 2) * self.width * load.tokens)

    return only


def test_a_step_that_would_not_fit_is_planned_to_fit(
    train_here: Train, free: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, plain = train_here(out="plain")
    limit_memory(monkeypatch, LIMIT)
    free(LIMIT)
    code, events = train_here(out="planned")
    assert code == 0, last(events).reason
    assert "does not hold" not in notices(events)  # no step ran into the limit
    assert "is free. So that a step fits" in notices(events)
    assert facts(events)["layers_twice"] == 2
    assert curve(events) == pytest.approx(curve(plain), rel=1e-6)


def test_the_same_step_without_a_plan_runs_into_the_limit(train_here: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    limit_memory(monkeypatch, LIMIT)
    monkeypatch.setattr(budget.Budget, "narrow", lambda *_args, **_named: False)
    code, events = train_here()
    assert (code, last(events).code) == (1, "out_of_memory_gpu")


def test_where_the_estimate_leaves_doubt_the_longest_step_is_tried(
    train_here: Train, free: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, plain = train_here(out="plain", dropout=0.2)
    assert facts(plain)["probe_peak_bytes"] is None
    assert "less than 50%" in facts(plain)["probe"]
    monkeypatch.setattr(probe, "CERTAIN", 0.0)
    free(100 * LIMIT)  # it is believed to fit …
    limit_memory(monkeypatch, LIMIT)  # … and does not
    _, events = train_here(out="tried", dropout=0.2)
    assert facts(events)["probe"] == "tried"
    assert facts(events)["layers_twice"] > 0
    assert notices(events).count("does not hold") == notices(events[: events.index(started(events))]).count("does not hold") > 0
    assert curve(events, "memory/peak_bytes")[0] == facts(events)["probe_peak_bytes"] > 10**7
    assert curve(events) == pytest.approx(curve(plain), rel=1e-6)  # the same numbers were drawn


def test_what_does_not_fit_however_it_is_computed_is_told_with_what_helps(train_here: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    limit_memory(monkeypatch, 1000)
    code, events = train_here(gradient_checkpointing=0, rank=8)
    assert (code, last(events).code) == (1, "out_of_memory_gpu")
    assert last(events).data["rows_at_once"] == 1
    for words in ("not even one row of", "max_length", "gradient_checkpointing to auto", "tuning: qlora", "rank, which is 8"):
        assert words in last(events).reason


def test_the_step_that_is_planned_and_tried_shares_nothing_since_others_may_not(
    train_here: Train, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    alone, true_choice = [], probe.heaviest
    budgets: list[budget.Budget] = []

    def chosen(*given: Any) -> Any:
        rows = true_choice(*given)
        alone.append(sum(len(row.ids) - 1 for _, row in rows))
        return rows

    def tried(loop: StepLoop, rows: list[tuple[int, MaskedRow]], *_: Any) -> int:
        budgets.append(loop.budget)
        return max(batch.computed for batch in loop.budget.lay_out(rows))

    monkeypatch.setattr(probe, "CERTAIN", 0.0)
    monkeypatch.setattr(probe, "heaviest", chosen)
    monkeypatch.setattr(probe, "probe", tried)
    document = {"role": "system", "content": "Read this: " + "the sky is blue, the grass is green. " * 4}
    told = [[document, {"role": "user", "content": f"{n}?"}, {"role": "assistant", "content": "blue"}] for n in range(40)]
    rows = tmp_path / "document.jsonl"
    rows.write_text("".join(json.dumps({"messages": messages}) + "\n" for messages in told))
    _, events = train_here(rows=rows, max_steps=1)
    assert facts(events)["tokens_at_once"] == facts(events)["probe_peak_bytes"] >= alone[0]
    assert budgets[0].layout is Layout.SHARED_PREFIX  # as the run's own steps are laid out


def test_layers_are_computed_twice_where_the_spec_says_so(train_here: Train) -> None:
    _, plain = train_here(out="plain")
    _, events = train_here(out="twice", gradient_checkpointing=1)
    assert (facts(plain)["layers_twice"], facts(events)["layers_twice"], facts(events)["layers"]) == (0, 1, 2)
    assert curve(events) == pytest.approx(curve(plain), rel=1e-6)


@pytest.mark.parametrize("kind", ["adamw", "adamw_8bit"])
@pytest.mark.parametrize("settings", [{"lora_plus": 4.0}, {"tuning": "full", "precision": "bf16", "learning_rate": 0.01}])
def test_an_optimiser_that_holds_its_memory_early_goes_on_as_any_other(kind: str, settings: dict[str, Any], tmp_path: Path) -> None:
    ends = []
    folder = FAMILIES[0].write(tmp_path / "base")
    for early in (False, True):
        model = engine_model(folder, **settings)
        filled = TrainingSettings.model_validate({"learning_rate": 0.01, "weight_decay": 0.1, "lora_plus": settings.get("lora_plus")})
        optimiser = make_optimiser(kind, model, filled)
        if early:
            before = [weight.detach().clone() for weight in model.trainable()]
            hold_state(optimiser, model.trainable())
            assert all(torch.equal(one, other) for one, other in zip(before, model.trainable(), strict=True))
            assert len(optimiser.state) == len(before)
        for step in range(3):
            generator = torch.Generator().manual_seed(step)
            for weight in model.trainable():
                weight.grad = torch.randn(weight.shape, generator=generator)
            optimiser.step()
        ends.append([weight.detach().clone() for weight in model.trainable()])
    assert all(torch.equal(one, other) for one, other in zip(*ends, strict=True))


def test_an_optimiser_for_which_there_is_no_memory_is_told_before_anything_moves() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    optimiser = torch.optim.AdamW([weight], lr=1.0)
    optimiser.register_step_pre_hook(lambda *_: (_ for _ in ()).throw(torch.OutOfMemoryError("CUDA out of memory")))
    with pytest.raises(OutOfMemory, match="paged_adamw_8bit"):
        hold_state(optimiser, [weight])


def test_the_longest_rows_that_are_trained_make_the_heaviest_step() -> None:
    rows = [row((some(length), False), (some(2), length != 50)) for length in (5, 50, 30, 9, 40)]
    assert [place for place, _ in heaviest(rows, 3)] == [4, 2, 3]
    assert len(heaviest(rows, 100)) == 4
