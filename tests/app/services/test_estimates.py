"""What a run over a dataset computes, by the tokens that were counted in its rows."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, func, select

from app.db import DatasetVersion
from app.db.prices import PriceList
from app.db.session import reading, unit_of_work
from app.domain.estimates import ASSUMED_TOKENS
from app.domain.prices import PriceTable
from app.domain.specs import TrainingSettings
from app.services.accounts import Identity
from app.services.estimates import Estimates, mean_length, work_of

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


def test_those_who_set_prices_at_once_keep_one_list(engine: Engine, owner: Identity) -> None:
    def set_prices(setup_hours: int) -> None:
        with unit_of_work(engine) as session:
            Estimates(session).set_prices(owner, PriceTable(setup_hours=setup_hours))

    with ThreadPoolExecutor(4) as people:
        list(people.map(set_prices, range(4)))
    with reading(engine) as session:
        assert session.scalar(select(func.count()).select_from(PriceList)) == 1


def test_who_sets_prices_and_who_forgets_them_at_once_take_turns(engine: Engine, owner: Identity) -> None:
    def change(turn: int) -> None:
        with unit_of_work(engine) as session:
            prices = Estimates(session)
            prices.forget_prices(owner) if turn % 2 else prices.set_prices(owner, PriceTable(setup_hours=turn))

    with ThreadPoolExecutor(4) as people:
        list(people.map(change, range(12)))
    with reading(engine) as session:
        assert Estimates(session).prices(owner).setup_hours in {PriceTable().setup_hours, *range(0, 12, 2)}
