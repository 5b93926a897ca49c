"""The learning rate's path."""

from __future__ import annotations

import pytest

from app.domain.specs import TrainingSettings
from workers.training.optim import learning_rate


def path(total: int, **given: object) -> list[float]:
    settings = TrainingSettings.model_validate({"learning_rate": 1.0, **given})
    return [learning_rate(settings, step, total) for step in range(1, total + 1)]


def test_it_rises_in_a_line_to_its_peak_and_falls_as_a_cosine() -> None:
    rates = path(100, warmup_ratio=0.1)
    assert rates[:10] == pytest.approx([0.1 * step for step in range(1, 11)])
    assert rates[10] == 1.0
    assert rates[55] == pytest.approx(0.5)
    assert 0 < rates[-1] < 0.01
    assert rates[10:] == sorted(rates[10:], reverse=True)


@pytest.mark.parametrize(("schedule", "middle"), [("constant", 1.0), ("linear", 0.5)])
def test_other_schedules(schedule: str, middle: float) -> None:
    assert path(10, schedule=schedule, warmup_ratio=0.0)[5] == pytest.approx(middle)


def test_a_single_step_is_taken_at_full_rate() -> None:
    assert path(1) == [1.0]
