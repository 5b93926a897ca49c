"""What a checkpoint restores, it restores exactly."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import torch

from workers.training.state import RandomState, RunState, read_optimiser, read_state, write_state

STANDING = RunState(
    step=3, total_steps=9, evaluated_step=2, fingerprint="f", precision="fp32", learning_rate=0.1,
    data_position={"epoch": 0, "row_of_epoch": 3}, base_metrics={"eval/loss": 1 / 3}, metrics={},
)  # fmt: skip


def draw() -> list[float]:
    return [random.gauss(0, 1), float(np.random.rand()), float(np.random.normal()), float(torch.rand(()))]  # noqa: NPY002


def optimiser_after(steps: int) -> tuple[torch.nn.Parameter, torch.optim.Optimizer]:
    torch.manual_seed(0)
    weight = torch.nn.Parameter(torch.ones(5))
    optimiser = torch.optim.AdamW([weight], lr=0.1, fused=True)
    for number in range(steps):
        (weight * number).sum().backward()
        optimiser.step()
        optimiser.zero_grad()
    return weight, optimiser


def test_generators_go_on_where_they_stood(tmp_path: Path) -> None:
    draw()  # a Gaussian is drawn in pairs: the second one is part of the state
    write_state(tmp_path, STANDING, optimiser_after(0)[1], RandomState.now())
    expected = draw()
    draw()
    standing, generators = read_state(tmp_path)
    generators.restore()
    assert draw() == expected
    assert standing == STANDING


def test_the_optimiser_goes_on_where_it_stood(tmp_path: Path) -> None:
    expected, _ = optimiser_after(5)
    weight, optimiser = optimiser_after(3)
    write_state(tmp_path, STANDING, optimiser, RandomState.now())
    _, fresh = optimiser_after(0)
    fresh.param_groups[0]["params"][0].data.copy_(weight.data)
    read_optimiser(tmp_path, fresh)
    for number in (3, 4):
        parameter = fresh.param_groups[0]["params"][0]
        (parameter * number).sum().backward()
        fresh.step()
        fresh.zero_grad()
    assert torch.equal(parameter, expected)
