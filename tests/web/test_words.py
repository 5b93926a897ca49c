from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from app.db.metrics import Point
from app.domain.runs import RunStatus
from app.web import looks, plot, words


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "–"), (0.4, "0 s"), (59, "59 s"), (200, "3 min 20 s"), (1500, "25 min"), (7260, "2 h 1 min"), (90_000, "1 d 1 h")],
)
def test_spans_have_human_precision(seconds: float | None, text: str) -> None:
    assert words.span(seconds) == text


@pytest.mark.parametrize(("value", "text"), [(None, "–"), (0.78123, "0.781"), (0.0002, "0.0002"), (0, "0"), (4512.2, "4,512")])
def test_numbers_keep_the_digits_that_mean_something(value: float | None, text: str) -> None:
    assert words.number(value) == text


def test_moments_are_told_as_they_are_felt() -> None:
    now = datetime.now(UTC)
    assert words.ago(now) == "just now"
    assert words.ago(now - timedelta(minutes=3)) == "3 min ago"
    assert words.ago(None) == "never"
    assert words.iso(datetime(2026, 3, 3, 12, tzinfo=UTC)) == "2026-03-03T12:00:00Z"


def test_one_is_not_many() -> None:
    assert (words.plural(1, "row"), words.plural(1200, "row"), words.plural(2, "pass", "passes")) == ("1 row", "1,200 rows", "2 passes")


def test_every_state_has_a_look_with_a_word_and_an_icon() -> None:
    for status in RunStatus:
        assert looks.run_look(status).word
        assert looks.run_look(status).icon


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ([1.0], " before it began"),
        ([1.0, 0.8], " and still falling"),
        ([1.0, 0.998], ", its best so far"),
        ([1.0, 0.7, 0.9], ", after its best of 0.700"),
        ([1.0, 0.7001, 0.7002], ", level with its best"),
    ],
)
def test_the_trend_of_held_out_loss_is_told(values: list[float], says: str) -> None:
    assert looks.trend([Point(n, "eval/loss", value) for n, value in enumerate(values)]) == says


def test_what_has_ended_falls_no_more() -> None:
    fell, stood = ([Point(n, "eval/loss", value) for n, value in enumerate(values)] for values in ([1.0, 0.8], [1.0, 0.998]))
    assert (looks.trend(fell, has_ended=True), looks.trend(stood, has_ended=True)) == (" and falling to the end", ", its best")


@pytest.mark.parametrize(
    ("size", "says"),
    [
        (999_885_952, "1 billion parameters"),
        (7_212_288, "7.21 million parameters"),
        (134_515_008, "135 million parameters"),
        (1_720_574_976, "1.72 billion parameters"),
        (None, "–"),
    ],
)
def test_a_model_is_as_large_as_people_say(size: int | None, says: str) -> None:
    assert words.parameters(size) == says


def test_only_what_stands_between_backticks_is_code() -> None:
    assert words.told("Try `hone up` <b>now</b>") == "Try <code>hone up</code> &lt;b&gt;now&lt;/b&gt;"


def test_curves_stay_inside_their_drawing_and_labels_apart() -> None:
    curves = {"train": [Point(n, "t", 3.0 / n) for n in range(1, 50)], "held-out": [Point(49, "e", 3.0 / 49)]}
    drawing = plot.draw(curves, 100)
    assert len(drawing.curves) == 2
    assert abs(drawing.curves[0].label_y - drawing.curves[1].label_y) >= plot.LABEL_GAP
    assert all(plot.WIDE.top <= tick.at <= plot.WIDE.bottom for tick in drawing.y_ticks)
    assert [tick.label for tick in drawing.x_ticks] == ["0", "20", "40", "60", "80", "100"]


def test_values_that_are_no_numbers_are_left_out() -> None:
    drawing = plot.draw({"train": [Point(1, "t", float("nan")), Point(2, "t", 1.0)]}, 2)
    assert "nan" not in drawing.curves[0].path
    assert plot.draw({"train": []}, 0).curves == []
