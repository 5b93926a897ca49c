"""What computing costs: an editable table of rents, and what a kilowatt-hour costs and emits where one's own machines stand."""

from __future__ import annotations

from functools import partial
from typing import Annotated, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, field_validator

from app.domain.accelerators import ACCELERATORS, RENTED
from app.domain.figures import in_money, in_thousands, significant
from app.domain.text import Text

AS_OF = "2026"
"""When the rents that come with Hone were seen."""
SETUP_HOURS = 1.9
"""An assumption under which published costs come out (docs/estimates.md)."""
MOST_RENTALS = 40
"""More lines nobody would read, nor could one form post."""
JOULES_PER_WH = 3600.0
Hourly = Annotated[float, Field(gt=0, le=10_000)]


class _Value(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Rental(_Value):
    """What one device of a class costs an hour at one provider."""

    provider: Text = Field(min_length=1, max_length=60)
    device: str = Field(min_length=1, max_length=40, description="A key of the table of devices; the class is taken to be this card.")
    label: Text = Field(min_length=1, max_length=60, description="What the class is called.")
    hourly: Hourly = Field(description="For one card, in the table's currency.")

    @field_validator("device")
    @classmethod
    def _is_known(cls, key: str) -> str:
        if key not in ACCELERATORS:
            message = f"there is no device {key!r} in the table; there are {', '.join(ACCELERATORS)}."
            raise ValueError(message)
        return key


def _known() -> tuple[Rental, ...]:
    labels = {"24gb": "24 GB card", "a100_80": "A100 80 GB", "h100": "H100 80 GB"}
    rents = {"Vast.ai": (0.29, 0.75, 1.87), "RunPod": (0.34, 1.39, 1.99), "AWS": (1.26, 3.67, 6.88)}
    return tuple(
        Rental(provider=provider, device=RENTED[key], label=labels[key], hourly=hourly)
        for provider, row in rents.items()
        for key, hourly in zip(RENTED, row, strict=True)
    )


class PriceTable(_Value):
    """Everything that money and energy are worked out with; what is not given has the default that comes with Hone."""

    currency: str = Field("USD", pattern=r"^[A-Z]{3}$", description="ISO 4217; all prices are in it.")
    as_of: Text = Field(AS_OF, max_length=40, description="When the prices were seen.")
    rentals: Annotated[tuple[Rental, ...], Field(max_length=MOST_RENTALS)] = Field(default_factory=_known)
    price_per_kwh: Annotated[float, Field(ge=0, le=100)] = Field(0.17, description="What one's own electricity costs.")
    grams_co2_per_kwh: Annotated[float, Field(ge=0, le=5000)] = Field(445.0, description="What making it emits.")
    own_watts: Annotated[float, Field(gt=0, le=100_000)] | None = Field(
        None, description="What one's own machine draws in training; empty: the device's rated power and the rest of a machine."
    )
    setup_hours: Annotated[float, Field(ge=0, le=100)] = Field(
        SETUP_HOURS,
        description="Rented hours beside the computing: bringing up the machine, fetching base and data, a try, a look at the result.",
    )


class Money(NamedTuple):
    """What a run costs, in the table's currency; `amount` None where nobody knows a price.

    `around` is what of it the rented hours beside the computing cost, and `hours_around` how many these are.
    """

    amount: float | None
    low: float | None
    high: float | None
    arithmetic: str
    around: float = 0.0
    hours_around: float = 0.0


class Energy(NamedTuple):
    """What a run draws in watt-hours, and what making that emits in grams of CO₂."""

    watt_hours: float
    low: float
    high: float
    co2_grams: float
    arithmetic: str


REST_OF_MACHINE_WATTS = 100.0
"""Processor, memory, disks and fans beside a GPU that trains."""
POWER_SHARE = 0.8
"""Of its rated power a GPU draws about so much in training."""
OVERHEAD = 1.2
"""A data centre draws so much for each watt of its computers: cooling and losses (PUE)."""


class Power(NamedTuple):
    """What one device draws in training with its share of the machine, in watts, and how that was worked out."""

    watts: float
    arithmetic: str


def watts_of(rated: float, kind: str, prices: PriceTable, *, is_own: bool) -> Power:
    """Return what one device draws with its share of the machine."""
    if is_own and prices.own_watts is not None:
        return Power(prices.own_watts, f"{prices.own_watts:g} W as the prices say of one's own machine")
    drawn, words = rated, f"{rated:g} W rated"
    if kind == "gpu":
        drawn = rated * POWER_SHARE + REST_OF_MACHINE_WATTS
        words += f" × {POWER_SHARE:g} in training + {REST_OF_MACHINE_WATTS:g} W for the rest of the machine"
    if not is_own:
        drawn *= OVERHEAD
        words = f"({words}) × {OVERHEAD:g} for cooling and losses"
    return Power(drawn, words if drawn == rated else f"{words} = {drawn:.0f} W")


def estimate_energy(span: tuple[float, float, float], power: Power, count: int, prices: PriceTable) -> Energy:
    """Return the energy of a run that takes so many seconds (likely, at least, at most) on so many devices."""
    likely, low, high = (seconds * power.watts * count / JOULES_PER_WH for seconds in span)
    grams = likely / 1000 * prices.grams_co2_per_kwh
    many = f"{count} × " if count > 1 else ""
    words = (
        f"{power.arithmetic}; {many}{power.watts:.0f} W × {significant(span[0] / 3600)} h = {in_thousands(likely, 'Wh')} × "
        f"{prices.grams_co2_per_kwh:g} g/kWh = {in_thousands(grams, 'g')} CO₂"
    )
    return Energy(likely, low, high, grams, words)


def estimate_money(span: tuple[float, float, float], energy: Energy, prices: PriceTable, *, hourly: float | None, count: int = 1) -> Money:
    """Return what a run costs: rent where there is an hourly price, else one's own electricity."""
    paid = partial(in_money, currency=prices.currency)
    if hourly is None:
        likely, low, high = (wh / 1000 * prices.price_per_kwh for wh in (energy.watt_hours, energy.low, energy.high))
        drawn = f"{significant(energy.watt_hours / 1000)} kWh × {paid(prices.price_per_kwh, as_given=True)}"
        return Money(likely, low, high, f"{drawn} = {paid(likely)}")
    likely, low, high = ((seconds / 3600 + prices.setup_hours) * hourly * count for seconds in span)
    many = f" × {count}" if count > 1 else ""
    rented = f"({significant(span[0] / 3600)} h + {prices.setup_hours:g} h to set up) × {paid(hourly, as_given=True)}/h{many}"
    around = prices.setup_hours * hourly * count
    beside = f", of it {paid(around)} for the hours around it" if around else ""
    return Money(likely, low, high, f"{rented} = {paid(likely)}{beside}", around, prices.setup_hours)
