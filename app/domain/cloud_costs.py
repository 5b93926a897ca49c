"""What an API billed by the token costs against a model of one's own: every month, all together, and from when on which is cheaper.

Money is in whatever currency the prices are in. What is paid is counted when it is paid: a machine that is bought costs all of its price in
its first month, and again when its life is over. A month has 730 hours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from app.domain.prices import PriceTable

HOURS, MILLION, KILO, SECONDS, PERCENT = 730, 1_000_000, 1000, 3600, 100
"""Hours of a month: 8,760 by 12."""
Money = Annotated[float, Field(ge=0, le=1e9)]
Tokens = Annotated[int, Field(ge=0, le=1_000_000)]


class Hosting(StrEnum):
    """Where a model of one's own answers."""

    OWN = "own"
    RENTED = "rented"


class CloudCosts(BaseModel):
    """What the comparison depends on. The prices that stand here before anybody fills in theirs are an example and no vendor's."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    calls: int = Field(100_000, ge=0, le=10**9, description="Calls in the first month.")
    prompt_tokens: Tokens = Field(800, description="Tokens of a call's prompt, instructions and history included.")
    answer_tokens: Tokens = Field(200, description="Tokens of a call's answer, thinking included.")
    growth_percent: float = Field(0.0, ge=-50, le=50, description="By how many percent calls grow from month to month.")

    price_in: Money = Field(0.5, description="The API's price of a million prompt tokens.")
    price_out: Money = Field(1.5, description="The API's price of a million answer tokens.")
    cached_percent: float = Field(
        0.0, ge=0, le=100, description="How many percent of the prompt tokens the API has seen before and bills as cached."
    )
    price_cached: Money = Field(0.25, description="The API's price of a million cached prompt tokens.")

    one_off: Money = Field(50.0, description="What the own model costs before its first answer: data, training, testing.")
    upkeep: Money = Field(0.0, description="What the own model costs each month beside machines: people's time, new trainings.")
    hosting: Hosting = Field(Hosting.RENTED, description="Whether machines are rented by the hour, or bought.")
    hourly: Money = Field(0.34, description="Rented: the price of a machine's hour.")
    hours: float = Field(HOURS, ge=1, le=HOURS, description="Hours a month in which machines are on; calls come in these hours.")
    machine_price: Money = Field(2500.0, description="Bought: the price of a machine.")
    life_months: int = Field(36, ge=1, le=120, description="Bought: for how many months a machine serves until it is replaced.")
    watts: float = Field(450.0, ge=0, le=100_000, description="Bought: what a machine draws while it is on.")
    kwh_price: Money = Field(0.17, description="Bought: the price of a kWh.")

    read_rate: float = Field(5000.0, ge=0.1, le=1e8, description="Prompt tokens a second that one machine reads, all callers together.")
    write_rate: float = Field(500.0, ge=0.1, le=1e8, description="Answer tokens a second that one machine writes, all callers together.")
    peak: float = Field(3.0, ge=1, le=100, description="How many times the calls of a mean hour the busiest hour has.")
    months: int = Field(36, ge=1, le=120, description="How far to look ahead.")


class Month(NamedTuple):
    """One month; what is paid in it, and what has been paid by its end."""

    number: int
    calls: float
    machines: int
    api: float
    own: float
    api_so_far: float
    own_so_far: float


class Verdict(StrEnum):
    """How the two compare."""

    BREAKS_EVEN = "breaks_even"
    NEVER = "never"
    LATER = "later"
    NO_BILL = "no_bill"


def at_prices(asked: CloudCosts, prices: PriceTable) -> CloudCosts:
    """Return what is asked with a project's price of power and of the cheapest card it knows to rent, where none was named."""
    known = {"kwh_price": prices.price_per_kwh, "hourly": min((rental.hourly for rental in prices.rentals), default=asked.hourly)}
    return asked.model_copy(update={name: value for name, value in known.items() if name not in asked.model_fields_set})


@dataclass(frozen=True)
class Comparison:
    """The API and a model of one's own beside each other."""

    asked: CloudCosts
    months: tuple[Month, ...]

    @property
    def first(self) -> Month:
        """The first month."""
        return self.months[0]

    @property
    def last(self) -> Month:
        """The last month looked at."""
        return self.months[-1]

    @property
    def own_monthly(self) -> float:
        """What a usual month like the first costs with an own model, machines that are bought counted in equal parts over their life."""
        return usual_month(self.asked, self.first.machines)

    @property
    def break_even(self) -> int | None:
        """The month by whose end the own model has cost no more than the API, and has so at the end of every later one; None if none."""
        found = None
        for month in reversed(self.months):
            if month.own_so_far > month.api_so_far:
                break
            found = month.number
        return found

    @property
    def verdict(self) -> Verdict:
        """How the two compare, in a word."""
        if self.break_even is not None:
            return Verdict.BREAKS_EVEN if self.last.api_so_far else Verdict.NO_BILL
        cheaper = any(usual_month(self.asked, month.machines) < month.api for month in self.months)
        return Verdict.LATER if cheaper else Verdict.NEVER

    @property
    def saved(self) -> float:
        """How much less the own model has cost by the end of the last month; negative where it has cost more."""
        return self.last.api_so_far - self.last.own_so_far


def api_call(asked: CloudCosts) -> float:
    """Return what one call of the API costs."""
    cached = asked.prompt_tokens * asked.cached_percent / PERCENT
    fresh = asked.prompt_tokens - cached
    return (fresh * asked.price_in + cached * asked.price_cached + asked.answer_tokens * asked.price_out) / MILLION


def call_seconds(asked: CloudCosts) -> float:
    """Return for how many seconds a call keeps one machine busy: reading its prompt and writing its answer."""
    return asked.prompt_tokens / asked.read_rate + asked.answer_tokens / asked.write_rate


def busiest_hour(asked: CloudCosts, calls: float) -> float:
    """Return how many machines the busiest hour of a month keeps busy."""
    return calls / asked.hours * asked.peak * call_seconds(asked) / SECONDS


def machines_for(asked: CloudCosts, calls: float) -> int:
    """Return how many machines a month needs, so that the busiest hour is served; one at least, which stands ready."""
    return max(1, math.ceil(busiest_hour(asked, calls) - 1e-9))


def running_month(asked: CloudCosts, machines: int) -> float:
    """Return what machines cost while they are on, in a month: rent, or energy."""
    hour = asked.hourly if asked.hosting == Hosting.RENTED else asked.watts / KILO * asked.kwh_price
    return machines * asked.hours * hour


def usual_month(asked: CloudCosts, machines: int) -> float:
    """Return what a usual month costs, machines that are bought counted in equal parts over their life."""
    bought = machines * asked.machine_price / asked.life_months if asked.hosting == Hosting.OWN else 0.0
    return running_month(asked, machines) + bought + asked.upkeep


def calls_to_be_worth_it(asked: CloudCosts) -> float | None:
    """Return from how many calls a month on an own model's usual month costs no more than the API; None where no number suffices."""
    api, seconds = api_call(asked), call_seconds(asked)
    if not api:
        return None
    # What one machine serves by its hours, in calls a month; without tokens it serves any number, and one is enough.
    served = asked.hours * SECONDS / (asked.peak * seconds) if seconds else math.inf
    each = usual_month(asked, 1) - asked.upkeep
    if usual_month(asked, 1) <= api * served:
        return usual_month(asked, 1) / api
    if each >= api * served:
        return None
    machines = math.ceil(asked.upkeep / (api * served - each) - 1e-9)
    return usual_month(asked, machines) / api


def compare(asked: CloudCosts) -> Comparison:
    """Return both month by month."""
    months: list[Month] = []
    bought: list[tuple[int, int]] = []  # in which month how many machines were bought
    api_so_far, own_so_far, calls = 0.0, asked.one_off, float(asked.calls)
    for number in range(1, asked.months + 1):
        machines = machines_for(asked, calls)
        own = running_month(asked, machines) + asked.upkeep
        if asked.hosting == Hosting.OWN:
            new = max(0, machines - sum(many for since, many in bought if number - since < asked.life_months))
            bought.append((number, new))
            own += new * asked.machine_price
        api = calls * api_call(asked)
        api_so_far, own_so_far = api_so_far + api, own_so_far + own
        months.append(Month(number, calls, machines, api, own, api_so_far, own_so_far))
        calls *= 1 + asked.growth_percent / PERCENT
    return Comparison(asked, tuple(months))
