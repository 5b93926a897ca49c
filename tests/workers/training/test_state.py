"""What a checkpoint restores, it restores exactly."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from bitsandbytes.optim.adamw import AdamW8bit, PagedAdamW8bit

from app.domain.errors import Conflict
from workers.training.probe import hold_state
from workers.training.state import STATE, RandomState, RunState, read_optimiser, read_state, write_state

STANDING = RunState(step=3, evaluated_step=2, fingerprint="f", precision="fp32", base_metrics={"eval/loss": 1 / 3}, metrics={})


def draw() -> list[float]:
    return [random.gauss(0, 1), float(np.random.rand()), float(np.random.normal()), float(torch.rand(()))]  # noqa: NPY002


Make = Callable[[list[torch.nn.Parameter]], torch.optim.Optimizer]
WIDTH = 5_000
"""bitsandbytes keeps a state in 8 bits from 4,096 entries on."""
OPTIMISERS: dict[str, Make] = {
    "AdamW": lambda weights: torch.optim.AdamW(weights, lr=0.1, fused=True),
    "AdamW8bit": lambda weights: AdamW8bit(weights, lr=0.1),
    "PagedAdamW8bit": lambda weights: PagedAdamW8bit(weights, lr=0.1),
}


def optimiser_after(steps: int, make: Make = OPTIMISERS["AdamW"]) -> tuple[torch.nn.Parameter, torch.optim.Optimizer]:
    torch.manual_seed(0)
    weight = torch.nn.Parameter(torch.ones(WIDTH))
    optimiser = make([weight])
    move(weight, optimiser, range(steps))
    return weight, optimiser


def move(weight: torch.nn.Parameter, optimiser: torch.optim.Optimizer, steps: Iterable[int]) -> None:
    for number in steps:
        (weight * torch.arange(WIDTH) * number).sum().backward()
        optimiser.step()
        optimiser.zero_grad()


def test_generators_go_on_where_they_stood(tmp_path: Path) -> None:
    draw()  # a Gaussian is drawn in pairs: the second one is part of the state
    write_state(tmp_path, STANDING, optimiser_after(0)[1], RandomState.now())
    expected = draw()
    draw()
    standing, generators = read_state(tmp_path)
    generators.restore()
    assert draw() == expected
    assert standing == STANDING


def test_what_other_versions_say_beside_it_is_passed_over(tmp_path: Path) -> None:
    write_state(tmp_path, STANDING, optimiser_after(0)[1], RandomState.now())
    document = json.loads((tmp_path / STATE).read_text())
    document["run"] |= {"total_steps": 9, "learning_rate": 0.1, "data_position": {"epoch": 0, "row_of_epoch": 3}}
    (tmp_path / STATE).write_text(json.dumps(document))
    assert read_state(tmp_path)[0] == STANDING


@pytest.mark.filterwarnings("ignore:Paged optimizers are not supported on CPU")
@pytest.mark.parametrize("make", OPTIMISERS.values(), ids=OPTIMISERS)
def test_the_optimiser_goes_on_where_it_stood(make: Make, tmp_path: Path) -> None:
    expected, _ = optimiser_after(5, make)
    weight, optimiser = optimiser_after(3, make)
    write_state(tmp_path, STANDING, optimiser, RandomState.now())
    fresh_weight, fresh = optimiser_after(0, make)
    fresh_weight.data.copy_(weight.data)
    hold_state(fresh, [fresh_weight])
    held = {name: value for name, value in fresh.state[fresh_weight].items() if isinstance(value, torch.Tensor)}
    read_optimiser(tmp_path, fresh)
    assert held
    assert all(fresh.state[fresh_weight][name] is tensor for name, tensor in held.items())  # a paged one stays in its pages
    move(fresh_weight, fresh, (3, 4))
    assert torch.equal(fresh_weight, expected)


def test_state_of_other_weights_is_refused_and_not_laid_over_these(tmp_path: Path) -> None:
    write_state(tmp_path, STANDING, optimiser_after(3)[1], RandomState.now())
    several = [torch.nn.Parameter(torch.ones(WIDTH)), torch.nn.Parameter(torch.ones(2))]
    other = [torch.nn.Parameter(torch.ones(WIDTH + 1))]
    for weights in (several, other):
        optimiser = OPTIMISERS["AdamW"](weights)
        hold_state(optimiser, weights)
        with pytest.raises(Conflict, match="trains other weights") as refused:
            read_optimiser(tmp_path, optimiser)
        assert refused.value.code == "checkpoint_of_another_run"
