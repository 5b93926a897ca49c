"""How much is computed at once changes no result, and memory that runs out is met with less."""

from __future__ import annotations

import io

import pytest
import torch
from transformers.modeling_layers import GradientCheckpointingLayer

from tests.workers.training.conftest import Train
from tests.workers.training.tiny import curve, last, notices
from workers.training import loop
from workers.training.batches import Batch, Layout
from workers.training.budget import LEAST_TOKENS, Budget
from workers.training.checkpointing import Checkpointing
from workers.training.loss import TrainedTokenLoss
from workers.training.report import Reporter


def test_a_step_that_memory_does_not_hold_is_taken_in_smaller_pieces(train_here: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    _, plain = train_here(out="plain", eval_every_steps=6)
    true_sum = TrainedTokenLoss.summed

    def summed(self: TrainedTokenLoss, batch: Batch) -> torch.Tensor:
        if len(batch.rows) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return true_sum(self, batch)

    monkeypatch.setattr(TrainedTokenLoss, "summed", summed)
    code, events = train_here(out="short", eval_every_steps=6)
    assert code == 0, last(events).reason
    assert list(curve(events).values()) == pytest.approx(list(curve(plain).values()), rel=1e-4)
    assert "Memory does not hold 8 rows" in notices(events)


@pytest.mark.parametrize(("error", "code"), [(MemoryError(), "out_of_memory_host"), (torch.OutOfMemoryError("CUDA"), "out_of_memory_gpu")])
def test_memory_that_runs_out_names_what_to_change(error: Exception, code: str, train_here: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(_loop: loop.StepLoop, _batches: object) -> tuple[float, float]:
        raise error

    monkeypatch.setattr(loop.StepLoop, "_gradient", explode)
    exit_code, events = train_here()
    assert (exit_code, last(events).code) == (1, code)
    assert "not even one row" in last(events).reason
    assert "max_length" in last(events).reason


def test_fifty_steps_have_the_same_losses_whatever_the_micro_batch(train_here: Train) -> None:
    settings = {"max_steps": 50, "eval_every_steps": 50, "learning_rate": 0.01}
    (_, row_by_row), (_, at_once) = train_here(out="one", micro_batch_size=1, **settings), train_here(out="auto", **settings)
    expected = curve(at_once)
    assert len(expected) == 50
    assert curve(row_by_row) == pytest.approx(expected, rel=1e-3)


def given_up(budget: Budget, *, rows: int, tokens: int, layers: int = 0) -> list[tuple[int, int]]:
    """Return the budget and the layers computed twice after each time that memory ran out, until nothing is left to give up."""
    course = []
    while budget._give_up(rows, tokens, layers):
        course.append((budget.tokens, budget.layers.count if budget.layers else 0))
        rows = 1 if budget.tokens < LEAST_TOKENS // 8 else rows
        assert len(course) < 20
    return course


def test_one_long_row_does_not_shrink_the_packs_beside_it_before_layers_are_computed_twice() -> None:
    layers = Checkpointing(torch.nn.ModuleList(GradientCheckpointingLayer() for _ in range(4)), draws=False)
    budget = Budget(None, 4_096, Reporter(io.BytesIO()), layers=layers)
    course = given_up(budget, rows=5, tokens=8_000, layers=4)
    assert course == [(2_048, 0), (1_024, 0), (1_024, 4), (512, 4), (256, 4), (128, 4), (64, 4)]


@pytest.mark.parametrize(("tokens", "expected"), [(1_100, 544), (1_090, 544), (4_096, 2_048), (300, 150)])
def test_half_a_budget_is_one_that_filled_packs_fit_into(tokens: int, expected: int) -> None:
    budget = Budget(None, 10_000, Reporter(io.BytesIO()), Layout.PACKED)
    budget._halve(4, tokens)
    assert budget.tokens == expected
