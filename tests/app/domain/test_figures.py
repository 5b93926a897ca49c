"""Numbers as arithmetic that people read has them."""

from __future__ import annotations

import pytest

from app.domain.figures import in_bytes, in_money, in_thousands, operations, percent, significant


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


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"), (float("nan"), "–"), (float("inf"), "–"), (0, "0 B"), (999, "999 B"),
        (112_840, "113 kB"), (1_482_133, "1.5 MB"), (875e6, "875 MB"), (3.5e9, "3.5 GB"),
        (28e9, "28.0 GB"), (99.96e6, "100 MB"), (999.6e6, "1.0 GB"), (2.5e12, "2.5 TB"), (12e15, "12,000 TB"), (-1.5e9, "-1.5 GB"),
    ],
)  # fmt: skip
def test_bytes_have_one_decimal_below_a_hundred_of_their_unit(value: float | None, shown: str) -> None:
    assert in_bytes(value) == shown


@pytest.mark.parametrize(("value", "shown"), [(875e6, "875 MB"), (1.1519e9, "1.15 GB"), (16.381e9, "16.38 GB"), (140e9, "140 GB")])
def test_levels_of_precision_are_told_apart_with_two(value: float, shown: str) -> None:
    assert in_bytes(value, 2) == shown


@pytest.mark.parametrize(
    ("amount", "currency", "shown"),
    [
        (None, "USD", "–"), (0, "USD", "$0"), (0.68, "USD", "$0.68"), (12.3, "CHF", "12.30 CHF"), (999.5, "GBP", "£999.50"),
        (999.999, "USD", "$1,000"), (1234.5, "EUR", "€1,234"), (0.00083, "USD", "$0.00083"), (0.00000123, "USD", "$0.0000012"),
        (-3, "USD", "−$3.00"),
    ],
)  # fmt: skip
def test_an_amount_has_the_digits_that_mean_something(amount: float | None, currency: str, shown: str) -> None:
    assert in_money(amount, currency) == shown


@pytest.mark.parametrize(
    ("price", "shown"),
    [(0, "$0"), (0.1, "$0.10"), (0.075, "$0.075"), (5, "$5.00"), (120.5, "$120.50"), (2500.0, "$2,500"), (2500.5, "$2,500.50")],
)
def test_a_price_that_was_given_keeps_all_of_its_digits(price: float, shown: str) -> None:
    assert in_money(price, "USD", as_given=True) == shown


def test_energy_and_mass_are_told_in_thousands_where_there_are() -> None:
    assert [in_thousands(value, "Wh") for value in (0.44, 27.0, 312.2, 1750.0)] == ["0.44 Wh", "27 Wh", "312 Wh", "1.75 kWh"]
    assert [in_thousands(value, "g") for value in (999.4, 999.9, 2500.0)] == ["999 g", "1 kg", "2.5 kg"]


@pytest.mark.parametrize(("share", "shown"), [(0.31, "31 %"), (0.018, "1.8 %"), (0.05, "5 %"), (1.2, "120 %"), (0, "0 %")])
def test_a_share_is_told_with_a_space_before_its_sign(share: float, shown: str) -> None:
    assert percent(share) == shown
