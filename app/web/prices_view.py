"""The price table as a form: a line for each class that can be rented, and what one's own electricity costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import ValidationError

from app.domain.accelerators import ACCELERATORS
from app.domain.prices import MOST_RENTALS, PriceTable, Rental
from app.web.forms import Form, messages_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CELLS = ("provider", "label", "device", "hourly")
PLAIN = ("currency", "as_of", "price_per_kwh", "grams_co2_per_kwh", "own_watts", "setup_hours")
EMPTY_LINES = 2
"""For what one adds; more come with each saving."""

CARDS = [("", "Choose a card"), *((each.key, each.name.removeprefix("NVIDIA ")) for each in ACCELERATORS.values() if each.kind == "gpu")]


class Line(NamedTuple):
    """A class that can be rented, as typed."""

    number: int
    title: str
    """What a screen reader calls its fields by."""


def form_of(table: PriceTable) -> Form:
    """Return the form that a table fills."""
    values = {name: _typed(getattr(table, name)) for name in PLAIN}
    for number, rental in enumerate(table.rentals):
        values |= {f"{name}-{number}": _typed(getattr(rental, name)) for name in CELLS}
    return Form(values)


def _typed(value: object) -> str:
    return "" if value is None else f"{value:.15g}" if isinstance(value, float) else str(value)


def lines_of(form: Form) -> list[Line]:
    """Return the lines to show: those that hold anything, and empty ones behind them."""
    used = [number for number in range(MOST_RENTALS) if any(_cells(form.values, number).values())]
    shown = min(MOST_RENTALS, (max(used) + 1 if used else 0) + EMPTY_LINES)
    return [Line(number, form.values.get(f"provider-{number}") or f"line {number + 1}") for number in range(shown)]


def _cells(fields: Mapping[str, str], number: int) -> dict[str, str]:
    return {name: fields.get(f"{name}-{number}", "").strip() for name in CELLS}


def table_from(fields: Mapping[str, str]) -> tuple[PriceTable | None, dict[str, str]]:
    """Return the table that a form describes, or None and a sentence for each field at fault; a line without a word is left out."""
    errors: dict[str, str] = {}
    rentals = list(_rentals(fields, errors))
    given: dict[str, Any] = {name: fields[name].strip() for name in PLAIN if fields.get(name, "").strip()}
    try:
        table = PriceTable.model_validate(given | {"rentals": rentals})
    except ValidationError as error:
        errors |= messages_of(error)
    return (None if errors else table), errors


def _rentals(fields: Mapping[str, str], errors: dict[str, str]) -> Iterator[Rental]:
    for number in range(MOST_RENTALS):
        cells = _cells(fields, number)
        if not any(cells.values()):
            continue
        try:
            yield Rental.model_validate(cells)
        except ValidationError as error:
            errors |= {f"{name}-{number}": sentence for name, sentence in messages_of(error).items()}
