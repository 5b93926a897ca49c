"""What a run will take, as the new-run page shows it: memory as a bar with its parts, time, money, energy, and where else it could run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

from app.domain.estimates import ONE_DEVICE, Estimate, EstimateFix, Target, estimate, fixes, here_of, side_by_side
from app.domain.figures import in_bytes, in_money, in_thousands
from app.domain.specs import PRESETS, Preset, TrainingSettings, settings_for
from app.domain.time_estimate import rows_of
from app.web import words
from app.web.looks import Look

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.domain.architectures import Architecture
    from app.domain.memory_estimate import Fits, MemoryEstimate
    from app.domain.packs import Work
    from app.domain.prices import PriceTable

BAR = 100.0
TOLD_PARTS = 3
"""So many of the largest parts are named beside the bar."""
MOST_FIXES = 4


FITS: dict[Fits, Look] = {
    "yes": Look("Fits", "check", "ok"), "tight": Look("Tight", "waiting", "wait"), "no": Look("Does not fit", "failed", "bad"),
    "unknown": Look("Not known", "waiting"),
}  # fmt: skip


class Segment(NamedTuple):
    """One part of the bar: where it begins and how long it is, in hundredths of the bar."""

    key: str
    label: str
    x: float
    width: float
    size: str
    span: str
    arithmetic: str


@dataclass(frozen=True)
class Bar:
    """A device's memory with a run in it, drawn to one scale; `room` is where the memory ends."""

    segments: list[Segment]
    low: float
    high: float
    room: float
    in_words: str


@dataclass(frozen=True)
class Offer:
    """What a run takes on one target."""

    found: Estimate
    currency: str
    is_cheapest: bool = False

    @property
    def target(self) -> Target:
        """Where it would run."""
        return self.found.target

    @property
    def look(self) -> Look:
        """Whether it fits."""
        return FITS[self.found.memory.fits]

    @property
    def bar(self) -> Bar:
        """Its memory as a bar."""
        return bar_of(self.found.memory)

    @property
    def memory(self) -> str:
        """What it most likely takes, of what there is."""
        memory = self.found.memory
        return in_bytes(memory.total) + (f" of {in_bytes(memory.capacity)}" if memory.capacity else "")

    @property
    def largest_parts(self) -> str:
        """Its largest parts in a line."""
        return largest(self.found.memory)

    @property
    def memory_span(self) -> str:
        """Between what it takes."""
        return between(self.found.memory.low, self.found.memory.high, in_bytes)

    @property
    def time(self) -> str:
        """How long it most likely takes."""
        return words.span(self.found.time.seconds)

    @property
    def time_span(self) -> str:
        """Between how long it takes."""
        return between(self.found.time.low, self.found.time.high, words.span)

    @property
    def cost(self) -> str:
        """What it most likely costs."""
        return in_money(self.found.money.amount, self.currency)

    @property
    def cost_span(self) -> str:
        """Between what it costs."""
        return between(self.found.money.low, self.found.money.high, lambda amount: in_money(amount, self.currency))

    @property
    def around(self) -> str:
        """How much of the cost is for rented hours beside the computing; nothing where there are none."""
        cost = self.found.money
        return f"of it {in_money(cost.around, self.currency)} for {cost.hours_around:g}\u00a0h around it" if cost.around else ""

    @property
    def alone(self) -> str:
        """What is to be known of several cards; nothing of one."""
        return ONE_DEVICE if self.target.count > 1 else ""

    @property
    def energy(self) -> str:
        """What it draws, and what making that emits."""
        return f"{self.watt_hours}, {in_thousands(self.found.energy.co2_grams, 'g')} CO₂"

    @property
    def watt_hours(self) -> str:
        """What it draws alone."""
        return in_thousands(self.found.energy.watt_hours, "Wh")

    @property
    def energy_span(self) -> str:
        """Between what it draws."""
        return between(self.found.energy.low, self.found.energy.high, lambda value: in_thousands(value, "Wh"))

    @property
    def paid_as(self) -> str:
        """What the money is for."""
        return "electricity" if self.target.hourly is None else f"{in_money(self.target.hourly, self.currency, as_given=True)}/h"


class Mend(NamedTuple):
    """A change of settings that saves memory: where it leads, and what the run takes then."""

    fix: EstimateFix
    href: str
    then: str
    look: Look


@dataclass(frozen=True)
class Priced:
    """What the page says of a run before it is launched. `why_not` stands where there is nothing to go by."""

    here: Offer | None = None
    offers: Sequence[Offer] = ()
    dearer: Sequence[Offer] = ()
    """What can be rented of the same classes for more money."""
    mends: Sequence[Mend] = ()
    presets: Mapping[Preset, Offer] | None = None
    assumed: Sequence[str] = ()
    tokens: str = ""
    tokens_arithmetic: str = ""
    few: str = ""
    why_not: str = ""
    look_up: str = ""

    @property
    def elsewhere(self) -> Offer | None:
        """What to rent where this device does not hold it: the cheapest that does within a week, if any does."""
        return next((offer for offer in self.offers if offer.is_cheapest), None)

    @property
    def fits(self) -> bool:
        """Whether there is nothing to worry about."""
        return self.here is not None and self.here.found.memory.fits in {"yes", "unknown"}


class Planned(NamedTuple):
    """A run that is priced: its base's measures, its settings with their defaults filled in, and what it computes."""

    arch: Architecture
    settings: TrainingSettings
    work: Work


def between(low: float | None, high: float | None, say: Any) -> str:
    """Return a range in words; once where both ends read the same."""
    first, last = say(low), say(high)
    return first if first == last else f"{first} to {last}"


def bar_of(memory: MemoryEstimate) -> Bar:
    """Return a run's memory as a bar as long as the device's, or as the run's where that is more."""
    scale = BAR / (max(memory.capacity or 0, memory.high) or 1)
    segments, at = [], 0.0
    for part in memory.parts:
        width = part.bytes * scale
        span = between(part.low, part.high, in_bytes)
        segments.append(Segment(part.key, part.label, round(at, 2), round(width, 2), in_bytes(part.bytes), span, part.arithmetic))
        at += width
    told = ", ".join(f"{each.label.lower()} {each.size}" for each in segments)
    room = round(memory.capacity * scale, 2) if memory.capacity else BAR
    of_it = f" of {in_bytes(memory.capacity)}" if memory.capacity else ""
    return Bar(segments, round(memory.low * scale, 2), round(memory.high * scale, 2), room, f"{in_bytes(memory.total)}{of_it}: {told}")


def largest(memory: MemoryEstimate) -> str:
    """Return the largest parts in a line, and what is left."""
    ordered = sorted(memory.parts, key=lambda part: -part.bytes)
    told = [f"{part.label.lower()} {in_bytes(part.bytes)}" for part in ordered[:TOLD_PARTS]]
    rest = sum(part.bytes for part in ordered[TOLD_PARTS:])
    return " · ".join([*told, f"rest {in_bytes(rest)}"] if rest else told)


def usual(targets: Sequence[Target]) -> Target | None:
    """Return what stands for a device where no worker has told of one: the smallest card there is to rent, where it is cheapest."""
    alone = [each for each in targets if not each.is_own and each.count == 1]
    return min(alone, key=lambda each: (each.accelerator.memory_bytes, each.hourly or 0.0), default=None)


def offers_of(found: Sequence[Estimate], currency: str) -> tuple[list[Offer], list[Offer]]:
    """Return one's own devices and the cheapest of each class to rent; then those of the same classes that cost more."""
    offers = [Offer(each, currency) for each in found if each.target.is_own]
    dearer: list[Offer] = []
    classes: set[str] = set()
    for each in found:
        if each.target.is_own:
            continue
        is_known = each.target.accelerator.key in classes
        (dearer if is_known else offers).append(Offer(each, currency, is_cheapest=not classes and each.memory.fits != "no"))
        classes.add(each.target.accelerator.key)
    return offers, dearer


def mends_of(planned: Planned, here: Estimate, prices: PriceTable, values: Mapping[str, str]) -> list[Mend]:
    """Return what would save memory, each as a link to the same form with other settings; where it does not fit, only what helps."""
    found = []
    for fix in fixes(planned.arch, planned.settings, planned.work, here.target, prices):
        if here.memory.fits == "no" and fix.then.fits == "no":
            continue
        changed = {name: str(value) for name, value in fix.settings.items()}
        found.append(Mend(fix, f"/runs/new?{urlencode(dict(values) | changed)}", in_bytes(fix.then.total), FITS[fix.then.fits]))
    return found[:MOST_FIXES]


def preset_settings(values: Mapping[str, str], planned: Planned, parameters: int | None) -> dict[Preset, TrainingSettings]:
    """Return what each preset comes to with what a person has given on top, of the form's values."""
    rows = planned.work.rows
    given = {name: value for name, value in values.items() if name in TrainingSettings.model_fields}
    return {preset: settings_for(preset, given).filled_in(training_rows=rows, parameters=parameters) for preset in PRESETS}


def tokens_of(planned: Planned) -> tuple[str, str]:
    """Return how many tokens are learnt from over the whole run, and how that was counted."""
    work, settings = planned.work, planned.settings
    rows = rows_of(settings, work)
    read = rows * work.mean_tokens
    learnt = read * work.trained_share
    arithmetic = (
        f"{words.plural(rows, 'row')} in {words.plural(work.steps, 'step')} × {work.mean_tokens:,.0f} tokens = {read:,.0f} read; "
        f"{work.trained_share:.0%} of them are answers = {learnt:,.0f} learnt"
    ).replace("%", " %")
    return f"{words.count(float(f'{learnt:.3g}'))} of {words.count(float(f'{read:.3g}'))}", arithmetic


def shown(planned: Planned, targets: Sequence[Target], prices: PriceTable, values: Mapping[str, str]) -> Priced:
    """Return what a run takes on each target; presets and what was assumed are for the caller to add."""
    found = side_by_side(*planned, targets, prices)
    here, stands_in = here_of(found, planned.settings.device), usual(targets)
    if here is None and stands_in is not None:
        here = estimate(*planned, stands_in, prices)
    if here is None:
        return Priced(why_not="No worker has told of a device for these settings, and the price list has no card to rent.")
    tokens, arithmetic = tokens_of(planned)
    offers, dearer = offers_of(found, prices.currency)
    return Priced(
        here=Offer(here, prices.currency), offers=offers, dearer=dearer,
        mends=mends_of(planned, here, prices, values), tokens=tokens, tokens_arithmetic=arithmetic,
    )  # fmt: skip
