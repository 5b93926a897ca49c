"""Small curves in lists."""

from __future__ import annotations

import math

from app.db.metrics import Point
from app.web.plot import spark


def curve(*values: float) -> list[Point]:
    return [Point(10 * n, "eval/loss", value) for n, value in enumerate(values)]


def test_a_small_curve_falls_where_the_loss_falls() -> None:
    assert spark(curve(2.0, 1.0, 0.0)) == "M2.0 2.0L36.0 9.0L70.0 16.0"


def test_what_stays_the_same_is_a_line_in_the_middle() -> None:
    assert spark(curve(0.5, 0.5)) == "M2.0 9.0L70.0 9.0"


def test_one_value_or_none_is_no_curve_and_what_diverged_is_left_out() -> None:
    assert spark(curve()) == spark(curve(1.0)) == spark(curve(1.0, math.nan, math.inf)) == ""
