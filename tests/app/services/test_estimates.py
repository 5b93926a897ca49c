"""What a run over a dataset computes, by the tokens that were counted in its rows."""

from __future__ import annotations

import pytest

from app.db import DatasetVersion
from app.domain.specs import TrainingSettings
from app.services.estimates import ASSUMED_TOKENS, mean_length, work_of

COUNTED = {
    "row": {"bins": [[0, 100, 50], [100, 200, 50]], "min": 40, "median": 100, "p95": 180, "max": 190, "sum": 10_000},
    "answer": {"bins": [], "min": 1, "median": 1, "p95": 1, "max": 1, "sum": 2_500},
}


def version(**findings: object) -> DatasetVersion:
    return DatasetVersion(rows=100, train_rows=90, test_rows=10, findings=findings)


def test_tokens_are_those_that_were_counted() -> None:
    work = work_of(version(tokens=COUNTED), TrainingSettings(epochs=2), 90)
    assert (work.mean_tokens, work.longest_tokens, work.trained_share) == (100, 190, 0.25)
    assert (work.rows, work.steps, work.eval_rows) == (90, 23, 10)


def test_what_is_cut_away_is_not_computed() -> None:
    work = work_of(version(tokens=COUNTED), TrainingSettings(max_length=100), 90)
    assert work.longest_tokens == 100
    assert work.mean_tokens == pytest.approx((10_000 - 50 * 49.5) / 100)


def test_where_nobody_has_counted_tokens_are_assumed() -> None:
    assert work_of(version(), TrainingSettings(), 90).mean_tokens == ASSUMED_TOKENS
    assert work_of(version(), TrainingSettings(max_length=64), 90).mean_tokens == 64


def test_rows_without_any_token_have_one_at_least() -> None:
    assert mean_length([[0, 1, 5]], 0, 100) == 1.0
