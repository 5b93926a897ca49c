"""The stream of rows is fixed by the seed, and a step is its rows."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from app.domain.specs import TrainingSettings
from workers.training.order import DataOrder


def test_every_row_is_seen_once_an_epoch_and_steps_run_across_the_border() -> None:
    order = DataOrder.over(10, batch_size=4, seed=1, epochs=2)
    steps = [order.step(number) for number in range(1, 6)]
    assert [len(step) for step in steps] == [4, 4, 4, 4, 4]
    stream = [row for step in steps for row in step]
    assert sorted(stream[:10]) == sorted(stream[10:]) == list(range(10))
    assert stream[:10] != stream[10:]


@pytest.mark.parametrize(("rows", "epochs", "batch"), [(10, 1.0, 4), (7, 2.5, 3), (3, 0.1, 8), (1, 3.0, 2), (30, 0.1, 1), (100, 1.1, 10)])
def test_only_the_last_step_may_be_smaller(rows: int, epochs: float, batch: int) -> None:
    total = TrainingSettings(epochs=epochs, batch_size=batch).total_steps(rows)
    order = DataOrder.over(rows, batch_size=batch, seed=0, epochs=epochs)
    sizes = [len(order.step(number)) for number in range(1, total + 1)]
    assert all(size == batch for size in sizes[:-1])
    assert 1 <= sizes[-1] <= batch
    assert sum(sizes) == order.limit


def test_with_max_steps_no_step_is_smaller_and_rows_repeat_evenly() -> None:
    order = DataOrder.over(3, batch_size=8, seed=0, epochs=None)
    counts = Counter(row for number in range(1, 4) for row in order.step(number))
    assert set(counts.values()) == {8}


def test_the_seed_fixes_the_order() -> None:
    def stream(seed: int) -> list[int]:
        return DataOrder.over(50, batch_size=25, seed=seed, epochs=1).step(1)

    assert stream(3) == stream(3)
    assert stream(3) != stream(4)


def test_an_epoch_is_drawn_once_and_not_for_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    draw = np.random.default_rng

    def counted(seed: list[int]) -> np.random.Generator:
        drawn.append(seed)
        return draw(seed)

    monkeypatch.setattr(np.random, "default_rng", counted)
    order = DataOrder.over(97, batch_size=10, seed=8, epochs=2)
    for number in range(1, 20):
        order.step(number)
    assert drawn == [[8, 0], [8, 1]]
