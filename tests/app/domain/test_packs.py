"""Which rows a run computes at once in its heaviest step."""

from __future__ import annotations

from app.domain.packs import Work, heaviest
from app.domain.specs import TrainingSettings

EVEN = Work(rows=1000, steps=10, mean_tokens=100, longest_tokens=100)


def settings(**given: object) -> TrainingSettings:
    return TrainingSettings.model_validate(given)


def test_a_step_is_one_pack_where_its_rows_are_short() -> None:
    pack = heaviest(settings(batch_size=8), EVEN, "cpu")
    assert (pack.rows, pack.tokens, pack.is_one_of_many) == (8, 800, False)


def test_a_step_is_cut_where_its_tokens_are_more_than_are_computed_at_once() -> None:
    pack = heaviest(settings(batch_size=64), EVEN, "cpu")
    assert (pack.rows, pack.tokens, pack.is_one_of_many) == (40, 4096, True)
    assert heaviest(settings(batch_size=64), EVEN, "gpu").tokens == 6400


def test_rows_that_vary_have_a_heaviest_step_between_mean_and_longest() -> None:
    pack = heaviest(settings(batch_size=16), EVEN.model_copy(update={"longest_tokens": 200}), "cpu")
    assert (pack.least, pack.tokens, pack.most) == (1600, 2000, 3200)


def test_one_row_may_have_more_tokens_than_are_computed_at_once() -> None:
    pack = heaviest(settings(batch_size=1), EVEN.model_copy(update={"longest_tokens": 9000}), "cpu")
    assert (pack.rows, pack.tokens) == (1, 9000)


def test_what_people_say_of_rows_at_once_holds() -> None:
    pack = heaviest(settings(batch_size=8, micro_batch_size=2), EVEN, "cpu")
    assert (pack.rows, pack.tokens, pack.is_one_of_many) == (2, 200, True)
    assert heaviest(settings(batch_size=8, micro_batch_size=64), EVEN, "cpu").rows == 8


def test_a_step_has_no_more_rows_than_there_are() -> None:
    assert heaviest(settings(batch_size=8), EVEN.model_copy(update={"rows": 3}), "cpu").rows == 3


def test_shared_beginnings_are_computed_once_and_a_half_is_one_of_many() -> None:
    pack = heaviest(settings(batch_size=8), EVEN.model_copy(update={"computed_share": 0.25}), "cpu")
    assert pack.tokens == 200
    assert (pack.halved(EVEN).rows, pack.halved(EVEN).is_one_of_many) == (4, True)
