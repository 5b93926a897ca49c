"""What computing costs, by the table that comes with Hone and by one's own."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from app.domain.prices import Power, PriceTable, estimate_energy, estimate_money, watts_of

HOUR = (3600.0, 1800.0, 7200.0)
DRAWN = Power(500.0, "500 W rated")


def test_the_rents_that_come_with_hone() -> None:
    table = PriceTable()
    rents = {(each.provider, each.label): each.hourly for each in table.rentals}
    assert len(rents) == 9
    assert (rents["Vast.ai", "24 GB card"], rents["RunPod", "A100 80 GB"], rents["AWS", "H100 80 GB"]) == (0.29, 1.39, 6.88)
    assert (table.currency, table.as_of) == ("USD", "2026")


def test_an_hour_of_a_kilowatt() -> None:
    table = PriceTable(price_per_kwh=0.30, grams_co2_per_kwh=400)
    energy = estimate_energy(HOUR, DRAWN, 2, table)
    assert (energy.watt_hours, energy.low, energy.high, energy.co2_grams) == (1000, 500, 2000, 400)
    money = estimate_money(HOUR, energy, table, hourly=None)
    assert (money.amount, money.low, money.high) == pytest.approx((0.30, 0.15, 0.60))


def test_rent_is_paid_for_the_set_up_too_and_for_each_card() -> None:
    table = PriceTable(setup_hours=0.5)
    energy = estimate_energy(HOUR, DRAWN, 4, table)
    money = estimate_money(HOUR, energy, table, hourly=2.0, count=4)
    assert (money.amount, money.low, money.high) == (12.0, 8.0, 20.0)
    assert "0.5 h to set up" in money.arithmetic
    assert (money.around, money.hours_around) == (4.0, 0.5)
    assert money.arithmetic.endswith("= $12.00, of it $4.00 for the hours around it")


def test_of_one_s_own_electricity_nothing_is_for_hours_around() -> None:
    energy = estimate_energy(HOUR, DRAWN, 1, PriceTable())
    assert estimate_money(HOUR, energy, PriceTable(), hourly=None).around == 0.0
    rent = estimate_money(HOUR, energy, PriceTable(setup_hours=0), hourly=2.0)
    assert rent.arithmetic.endswith("= $2.00")


def test_one_s_own_machine_draws_what_one_says() -> None:
    own = PriceTable(own_watts=250)
    assert watts_of(400, "gpu", own, is_own=True).watts == 250
    assert watts_of(400, "gpu", own, is_own=False).watts > 400
    assert watts_of(400, "gpu", PriceTable(), is_own=True).watts == 420


def test_watts_are_worked_out_before_they_are_counted() -> None:
    rented = estimate_energy(HOUR, watts_of(350, "gpu", PriceTable(), is_own=False), 1, PriceTable())
    drawn = "(350 W rated × 0.8 in training + 100 W for the rest of the machine) × 1.2 for cooling and losses = 456 W"
    assert rented.arithmetic.startswith(f"{drawn}; 456 W × 1 h = 456 Wh")
    assert watts_of(65, "cpu", PriceTable(), is_own=True).arithmetic == "65 W rated"


@pytest.mark.parametrize("wrong", [{"price_per_kwh": -1}, {"currency": "dollars"}, {"own_watts": 0}, {"rentals": [{"provider": "x"}]}])
def test_a_table_that_makes_no_sense_is_none(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        PriceTable.model_validate(wrong)


def test_a_rental_of_a_device_nobody_knows_is_refused() -> None:
    with pytest.raises(ValidationError, match="abacus"):
        PriceTable.model_validate({"rentals": [{"provider": "x", "device": "abacus", "label": "y", "hourly": 1}]})
