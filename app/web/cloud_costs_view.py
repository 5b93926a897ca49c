"""The API's bill against a model of one's own as a page shows it: a sentence, figures with their arithmetic, two curves, every month."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, NamedTuple

from app.db.metrics import Point
from app.domain.cloud_costs import (
    PERCENT,
    CloudCosts,
    Comparison,
    Hosting,
    Verdict,
    api_call,
    at_prices,
    busiest_hour,
    call_seconds,
    calls_to_be_worth_it,
)
from app.domain.figures import in_money, significant
from app.web import plot, words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.domain.prices import PriceTable
    from app.services.training_price import TrainingPrice

FRAME = plot.Frame(left=72.0, right=620.0, top=24.0, bottom=226.0)
MONTHS = 12


class Example(NamedTuple):
    """A volume that somebody may have, to begin with."""

    title: str
    text: str
    calls: int
    prompt_tokens: int
    answer_tokens: int

    @property
    def query(self) -> str:
        """Its part of an address."""
        return f"calls={self.calls}&prompt_tokens={self.prompt_tokens}&answer_tokens={self.answer_tokens}"


EXAMPLES = (
    Example("Support bot", "100,000 questions a month, each with a page of instructions and a short answer.", 100_000, 800, 200),
    Example("E-mail into JSON", "A million messages a month: long to read, few fields to write.", 1_000_000, 600, 80),
    Example("Code completion", "Twenty million calls a month, each with much context and one line to write.", 20_000_000, 1500, 30),
)


def usual(prices: PriceTable) -> dict[str, str]:
    """Return what the form begins with: an example, with the project's own prices of power and of the cheapest rented card."""
    known = at_prices(CloudCosts(), prices)
    return {name: f"{value:.15g}" if isinstance(value, float) else str(value) for name, value in known.model_dump().items()}


def with_training(asked: CloudCosts, training: TrainingPrice | None) -> CloudCosts:
    """Return what is asked with the cost of training added to what is paid once."""
    return asked.model_copy(update={"one_off": asked.one_off + training.amount}) if training else asked


def after(today: date, months: int) -> date:
    """Return the first day of the month that is so many months away."""
    year, month = divmod(today.year * MONTHS + today.month - 1 + months, MONTHS)
    return date(year, month + 1, 1)


class Figure(NamedTuple):
    """A number, and how it comes about."""

    label: str
    value: str
    arithmetic: str


@dataclass(frozen=True)
class Bill:
    """A comparison in words and lines."""

    found: Comparison
    currency: str
    today: date
    training: TrainingPrice | None = None
    """What is estimated for training; the comparison's beginning has it in it."""

    def money(self, value: float) -> str:
        """Return an amount in the currency of the prices."""
        return in_money(value, self.currency)

    def price(self, value: float) -> str:
        """Return a price as it was given."""
        return in_money(value, self.currency, as_given=True)

    @property
    def asked(self) -> CloudCosts:
        """What the comparison depends on."""
        return self.found.asked

    @property
    def when(self) -> str:
        """The month of the break-even, by name; empty where there is none."""
        month = self.found.break_even
        return f"{after(self.today, month):%B %Y}" if month else ""

    @property
    def is_cheaper(self) -> bool:
        """Whether an own model has paid for itself in the time looked at."""
        return self.found.verdict == Verdict.BREAKS_EVEN

    @property
    def sentence(self) -> str:
        """The answer."""
        month = self.found.break_even
        return {
            Verdict.BREAKS_EVEN: f"Your own model has paid for itself by the end of month {month}, in {self.when}.",
            Verdict.NEVER: "At this volume the API is cheaper.",
            Verdict.LATER: f"Your own model costs less in a usual month, but has not paid for itself within {self.asked.months} months.",
            Verdict.NO_BILL: "There is no bill to save.",
        }[self.found.verdict]

    @property
    def volume(self) -> str:
        """From which volume on an own model is worth it, in a sentence."""
        worth = calls_to_be_worth_it(self.asked)
        if worth is None:
            return "No volume changes that: what a machine costs is more than the API takes for all the calls it can serve."
        return f"In a usual month an own model costs less than the API from about {words.plural(round(worth), 'call')} on."

    @property
    def figures(self) -> list[Figure]:
        """The numbers the answer rests on."""
        first = self.found.first
        return [
            Figure("API, first month", self.money(first.api), self._api()),
            Figure("Own model, usual month", self.money(self.found.own_monthly), self._own()),
            Figure("Before the first answer", self.money(self.asked.one_off), self._once()),
            Figure("Machines", f"{first.machines}", self._machines()),
            Figure("A call", f"{self.money(api_call(self.asked))} / {self._own_call()}", self._call()),
            Figure(f"After {self.asked.months} months", self._saved(), self._total()),
        ]

    def _api(self) -> str:
        asked = self.asked
        cached = asked.prompt_tokens * asked.cached_percent / PERCENT
        parts = [f"{asked.prompt_tokens - cached:,.0f} prompt tokens × {self.price(asked.price_in)}"]
        parts += [f"{cached:,.0f} cached × {self.price(asked.price_cached)}"] if cached else []
        parts += [f"{asked.answer_tokens:,} answer tokens × {self.price(asked.price_out)}"]
        return f"{asked.calls:,} calls × ({' + '.join(parts)}) / 1,000,000 = {self.money(self.found.first.api)}"

    def _own(self) -> str:
        asked, many = self.asked, words.plural(self.found.first.machines, "machine")
        if asked.hosting == Hosting.RENTED:
            each = f"{asked.hours:,.0f} h × {self.price(asked.hourly)}"
        else:
            power = f"{asked.hours:,.0f} h × {asked.watts:,.0f} W / 1000 × {self.price(asked.kwh_price)}"
            each = f"({power} + {self.price(asked.machine_price)} / {words.plural(asked.life_months, 'month')})"
        upkeep = f" + {self.price(asked.upkeep)} beside" if asked.upkeep else ""
        return f"{many} × {each}{upkeep} = {self.money(self.found.own_monthly)}"

    def _once(self) -> str:
        if self.training is None:
            return "As given: data, training and testing, paid once."
        given = self.asked.one_off - self.training.amount
        return f"{self.money(given)} as given + {self.money(self.training.amount)} for {self.training.arithmetic}."

    def _machines(self) -> str:
        asked, first = self.asked, self.found.first
        busy, took = significant(busiest_hour(asked, first.calls), 2), significant(call_seconds(asked))
        spread = f"{first.calls:,.0f} calls / {asked.hours:,.0f} h × {asked.peak:g} in the busiest hour × {took} s / 3,600 s"
        last = self.found.last
        later = (
            f" In month {last.number} it needs {words.plural(last.machines, 'such machine')}." if last.machines != first.machines else ""
        )
        return f"{spread} = {busy} machines at work, so it needs {words.plural(first.machines, 'such machine')} then.{later}"

    def _own_call(self) -> str:
        return self.money(self.found.own_monthly / self.asked.calls) if self.asked.calls else "–"

    def _call(self) -> str:
        asked = self.asked
        busy = f"{asked.prompt_tokens:,} / {asked.read_rate:,.0f} + {asked.answer_tokens:,} / {asked.write_rate:,.0f} s"
        return f"Of the API, and of your own model: its usual month by the calls. A call keeps a machine busy for {busy}."

    def _saved(self) -> str:
        saved = self.found.saved
        return f"{self.money(saved)} saved" if saved >= 0 else f"costs {self.money(-saved)} more"

    def _total(self) -> str:
        last = self.found.last
        return f"API {self.money(last.api_so_far)}, own model {self.money(last.own_so_far)}, its beginning included."

    @property
    def drawing(self) -> plot.Drawing:
        """Both, all together by the end of each month."""
        months = self.found.months
        lines = {
            "api": [Point(0, "api", 0.0), *(Point(month.number, "api", month.api_so_far) for month in months)],
            "own": [Point(0, "own", self.asked.one_off), *(Point(month.number, "own", month.own_so_far) for month in months)],
        }
        drawn = plot.draw(lines, len(months), frame=FRAME, floor=0.0)
        names = {"api": f"API {self.money(self.found.last.api_so_far)}", "own": f"Own {self.money(self.found.last.own_so_far)}"}
        ticks = [replace(tick, label=self.money(float(tick.label))) for tick in drawn.y_ticks]
        return replace(drawn, y_ticks=ticks, curves=[replace(curve, label=names[curve.css]) for curve in drawn.curves])

    @property
    def mark(self) -> float | None:
        """Where in the drawing the break-even stands."""
        month = self.found.break_even
        return round(FRAME.left + (FRAME.right - FRAME.left) * month / len(self.found.months), 1) if month else None

    @property
    def rows(self) -> Sequence[tuple[str, ...]]:
        """Every month as a table has it."""
        return [
            (f"{month.number}", f"{after(self.today, month.number):%b %Y}", words.count(month.calls), f"{month.machines}",
             self.money(month.api), self.money(month.own), self.money(month.api_so_far), self.money(month.own_so_far))
            for month in self.found.months
        ]  # fmt: skip
