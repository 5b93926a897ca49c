"""Numbers as arithmetic that people read has them."""

from __future__ import annotations

import pytest

from app.domain.figures import in_bytes, operations, percent, significant


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (8040.0, "8,040"), (123_456.0, "123,000"), (999.9, "1,000"), (4.0, "4"), (0.04251, "0.0425"), (0.000012, "0.000012")],
)
def test_a_number_has_three_digits_that_count_and_no_power_of_ten(value: float, shown: str) -> None:
    assert significant(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (640.0, "640 FLOP"),
        (2.5e9, "2.5 GFLOP"),
        (989e12, "989 TFLOP"),
        (999.9e12, "1 PFLOP"),
        (8.04e15, "8.04 PFLOP"),
        (5e21, "5,000 EFLOP"),
    ],
)
def test_operations_are_told_in_the_unit_that_suits(value: float, shown: str) -> None:
    assert operations(value) == shown


@pytest.mark.parametrize(("value", "shown"), [(0, "0 B"), (3.93e6, "3.93 MB"), (14e9, "14 GB"), (2.5e12, "2.5 TB")])
def test_bytes_are_told_in_the_unit_that_suits(value: float, shown: str) -> None:
    assert in_bytes(value) == shown


@pytest.mark.parametrize(("share", "shown"), [(0.31, "31 %"), (0.018, "1.8 %"), (0.05, "5 %"), (1.2, "120 %"), (0, "0 %")])
def test_a_share_is_told_with_a_space_before_its_sign(share: float, shown: str) -> None:
    assert percent(share) == shown
