"""Measures of answers, held against values worked out by hand."""

from __future__ import annotations

import pytest

from app.domain.metrics import (
    Metric,
    Shape,
    json_in,
    label_in,
    labels_in,
    mean_interval,
    measures_of,
    normalised,
    score,
    scores_of,
    shape_of,
    wilson,
)

LABELS = frozenset({"urgent", "not urgent", "spam"})


def test_wilson_is_as_in_the_textbook() -> None:
    # 8 of 10: centre (0.8 + 3.8415/20) / 1.38415 = 0.7168, half width 0.2266.
    assert wilson(8, 10) == pytest.approx((0.8, 0.4902, 0.9433), abs=1e-4)
    assert wilson(0, 8) == pytest.approx((0.0, 0.0, 0.3244), abs=1e-4)
    assert wilson(0, 0) == (0.0, 0.0, 1.0)


def test_students_interval_is_as_in_the_table() -> None:
    # Mean 0.5, s = 0.2582, t(3) = 3.182: half width 0.4108.
    found = mean_interval([0.2, 0.4, 0.6, 0.8])
    assert found == pytest.approx((0.5, 0.0892, 0.9108), abs=4e-3)
    assert found.margin == pytest.approx(0.4108, rel=0.01)
    # t(1) = 12.706 and t(63) = 1.998.
    assert mean_interval([0.49, 0.51]).margin == pytest.approx(12.706 * 0.01, abs=1e-4)
    assert mean_interval([0.4, 0.6] * 32).margin == pytest.approx(1.998 * 0.10079 / 8, abs=1e-4)


def test_values_that_are_all_the_same_do_not_pretend_to_be_certain() -> None:
    assert mean_interval([1.0] * 8).low == pytest.approx(wilson(8, 8).low)
    assert mean_interval([0.5]).low < 0.1


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("Urgent.", "urgent"), ("The label is: spam", "spam"), ("It is not urgent", "not urgent"), ("spam or urgent", None),
        ("insurgent", None), ("", None),
    ],
)  # fmt: skip
def test_the_label_an_answer_names(answer: str, said: str | None) -> None:
    assert label_in(answer, LABELS) == said


def test_fields_of_json_are_counted_one_by_one() -> None:
    expected = '{"intent": "refund", "urgency": "high", "order": {"id": 17, "items": ["kettle"]}}'
    answer = '```json\n{"intent": "Refund", "urgency": "low", "order": {"id": 17}, "more": 1}\n```'
    found = scores_of(Shape.JSON, expected, answer)
    assert found == {Metric.JSON_FIELDS: 0.5, Metric.JSON_SAME: 0.0, Metric.JSON_VALID: 1.0}
    assert scores_of(Shape.JSON, expected, "intent: refund") == dict.fromkeys(found, 0.0)
    assert scores_of(Shape.JSON, expected, expected) == dict.fromkeys(found, 1.0)


def test_true_is_not_one_and_an_empty_list_is_a_field() -> None:
    assert scores_of(Shape.JSON, '{"paid": true, "tags": []}', '{"paid": 1, "tags": []}')[Metric.JSON_FIELDS] == 0.5


def test_a_row_that_expects_no_json_among_others_is_compared_as_text() -> None:
    assert scores_of(Shape.JSON, "No order.", "no order")[Metric.JSON_FIELDS] == 1.0
    assert scores_of(Shape.JSON, "No order.", "anything")[Metric.JSON_FIELDS] == 0.0


def test_json_deeper_than_anybody_writes_is_none() -> None:
    assert json_in("[" * 100_000) is None


def test_what_people_do_not_see_is_no_difference() -> None:
    assert normalised("  Two\u00a0 Days. ") == normalised("two days")
    found = scores_of(Shape.SHORT, "Two days.", "two days")
    assert (found[Metric.NORMALISED], found[Metric.EXACT]) == (1.0, 0.0)


def test_words_in_common_by_hand() -> None:
    # 2 of 3 and 2 of 4 words: 2 · 2 / (3 + 4).
    assert scores_of(Shape.TEXT, "the blue kettle", "a blue kettle indeed")[Metric.TOKEN_F1] == pytest.approx(4 / 7)
    assert scores_of(Shape.TEXT, "", "")[Metric.TOKEN_F1] == 1.0


def test_similarity_is_the_share_of_characters_that_stay() -> None:
    # kettle and kettles: one of 13 characters is put in.
    assert scores_of(Shape.TEXT, "kettle", "kettles")[Metric.SIMILARITY] == pytest.approx(12 / 13)


@pytest.mark.parametrize(
    ("expected", "shape"),
    [
        (["yes", "No.", "no", "YES", "yes", "no"], Shape.LABELS),
        (['{"a": 1}'] * 9 + ["nothing"], Shape.JSON),
        (["Paris", "Rome", "Oslo", "Bern"], Shape.SHORT),
        (["one two three four five six seven eight nine ten"] * 3, Shape.TEXT),
        (["yes", "yes", "yes"], Shape.SHORT),
        ([], Shape.TEXT),
    ],
)
def test_expected_answers_say_how_they_are_measured(expected: list[str], shape: Shape) -> None:
    assert shape_of(expected) is shape


def test_what_answers_are_for_decides_where_that_fits_what_they_look_like() -> None:
    assert measures_of(Shape.TEXT, Metric.EXACT)[:2] == (Metric.EXACT, Metric.SIMILARITY)
    assert measures_of(Shape.SHORT, Metric.EXACT)[:2] == (Metric.EXACT, Metric.NORMALISED)
    assert measures_of(Shape.LABELS, Metric.EXACT)[0] is Metric.LABEL
    assert measures_of(Shape.TEXT, Metric.JSON_FIELDS)[0] is Metric.SIMILARITY
    # One name that was left in is a small part of the letters, and all that counts.
    found = scores_of(
        Shape.TEXT, "Dear [NAME], your order from [CITY] is here.", "Dear Ann, your order from [CITY] is here.", wanted=Metric.EXACT
    )
    assert (found[Metric.EXACT], found[Metric.SIMILARITY] > 0.8) == (0.0, True)


def test_labels_are_few_short_and_given_often() -> None:
    assert labels_in(["Spam"] * 3 + ["ham."] * 3) == {"spam", "ham"}
    assert not labels_in(["spam", "ham", "eggs", "tea"])
    assert not labels_in([f"label {n % 21}" for n in range(200)])


def test_a_share_and_a_mean_have_their_own_intervals() -> None:
    assert score(Metric.EXACT, [1.0, 0.0, 1.0, 1.0]) == wilson(3, 4)
    assert score(Metric.SIMILARITY, [0.2, 0.4, 0.6, 0.8]) == mean_interval([0.2, 0.4, 0.6, 0.8])
