"""What a run will take on each device, before anything is launched: memory, time, money, energy, and what would make it fit."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from app.domain.accelerators import ACCELERATORS
from app.domain.beside_steps import Beside, beside_of
from app.domain.figures import in_bytes, percent
from app.domain.held_memory import number_bytes
from app.domain.memory_estimate import MemoryEstimate, Part, estimate_memory, summed
from app.domain.prices import Energy, Money, PriceTable, estimate_energy, estimate_money, watts_of
from app.domain.time_estimate import TimeEstimate, estimate_time, flops, for_size, in_another, published

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from app.domain.accelerators import Accelerator, Numbers
    from app.domain.architectures import Architecture
    from app.domain.packs import Work
    from app.domain.prices import Rental
    from app.domain.spans import Span
    from app.domain.specs import TrainingSettings
    from app.domain.time_estimate import Throughput

COUNTS = (1, 2, 4, 8)
"""How many cards of a class are rented together."""
ONE_DEVICE = "Hone trains on one device"
"""What whoever reads of several cards is told."""
ASSUMED_TOKENS = 1000.0
"""Of a row whose tokens nobody has counted: one of the four assumptions under which published costs come out (docs/estimates.md)."""
LONGEST = 4
"""Of rows whose lengths nobody has counted the longest is taken to have so many times the mean."""
BF16_BYTES = 2
WORTH_TELLING = 0.02
"""So much longer nobody would notice."""
FITTING = ("yes", "unknown", "tight", "no")
TOO_LONG_SECONDS = 7 * 86_400.0
"""Nobody waits so long for what costs little elsewhere."""
SHARDED = frozenset({"weights", "quantisation", "gradients", "optimiser"})
"""Parts that several cards divide among themselves."""


@dataclass(frozen=True)
class Target:
    """Where a run could go: one's own device, or so many rented ones at a price an hour each."""

    key: str
    label: str
    accelerator: Accelerator
    count: int
    hourly: float | None
    provider: str | None
    is_own: bool
    learned: Mapping[Numbers, Throughput] = field(default_factory=dict)
    """What past runs have shown, by what they computed in."""
    startup: Span | None = None
    """Seconds from the claim to the first step, as past runs have shown."""

    @property
    def beside(self) -> Beside:
        """What it takes beside the operations of steps."""
        usual = beside_of(self.accelerator.kind)
        return usual._replace(startup=self.startup) if self.startup else usual

    def rate(self, numbers: Numbers, per_token: float = 0.0, *, is_free: bool = False) -> Throughput:
        """Return how fast it computes: as learned in this precision, else by what was learned in another one, else as published.

        Learned is what bases of like size have shown, by the operations of a token.
        `is_free`: the trainer may compute in another precision, and on a processor it chooses as it did in the runs before.
        """
        like = {name: found for name, rate in self.learned.items() if (found := for_size(rate, per_token))}
        if numbers in like:
            return like[numbers]
        if like:
            known = next(iter(like.values()))
            return known if is_free and self.accelerator.kind == "cpu" else in_another(known, self.accelerator, numbers)
        usual = published(self.accelerator, self.count, numbers)
        return usual._replace(source=f"{usual.source}; no base of like size has run here yet") if self.learned else usual


def rented(prices: PriceTable) -> list[Target]:
    """Return what can be rented at these prices: each class, one card of it and more."""
    known = Counter[str]()
    targets = []
    for rental in prices.rentals:
        place = f"{rental.provider.lower()}:{rental.device}"
        known[place] += 1
        # A provider may rent a card out in two ways, by the hour and by the month: the second has a key of its own.
        which = place if known[place] == 1 else f"{place}-{known[place]}"
        targets += [_rented(rental, which, count) for count in COUNTS]
    return targets


def _rented(rental: Rental, which: str, count: int) -> Target:
    accelerator = ACCELERATORS[rental.device]
    many = f"{count} × " if count > 1 else ""
    return Target(
        f"{which}:{count}", f"{many}{rental.label} at {rental.provider}", accelerator, count,
        rental.hourly, rental.provider, is_own=False,
    )  # fmt: skip


class Estimate(NamedTuple):
    """What a run takes on one target."""

    target: Target
    memory: MemoryEstimate
    time: TimeEstimate
    money: Money
    energy: Energy
    numbers: Numbers

    def to_json(self) -> dict[str, Any]:
        """Return it as a run's record keeps it."""
        target = self.target
        return {
            "device": {
                "key": target.key, "name": target.label, "kind": target.accelerator.kind, "count": target.count,
                "memory_bytes": target.accelerator.memory_bytes, "provider": target.provider, "hourly": target.hourly,
                "is_own": target.is_own,
            },
            "memory": self.memory._asdict() | {"parts": [part._asdict() for part in self.memory.parts]},
            "time": self.time._asdict(),
            "money": self.money._asdict(),
            "energy": self.energy._asdict(),
            "precision": self.numbers,
        }  # fmt: skip


class EstimateFix(NamedTuple):
    """A change of settings that saves so many bytes, and what the run takes then; `same_result`: nothing else changes."""

    key: str
    label: str
    settings: dict[str, Any]
    saves: int
    same_result: bool
    then: MemoryEstimate


def numbers_on(arch: Architecture, settings: TrainingSettings, accelerator: Accelerator) -> Numbers:
    """Return what a run's products are computed in there: as it says, else as the trainer chooses for such a device."""
    if settings.precision == "auto" and accelerator.kind == "gpu" and not accelerator.knows_bf16:
        return "fp32"
    return "bf16" if number_bytes(arch, settings, accelerator.unit) == BF16_BYTES else "fp32"


def memory_on(arch: Architecture, settings: TrainingSettings, work: Work, target: Target) -> MemoryEstimate:
    """Return what a run takes on each of a target's devices."""
    capacity = target.accelerator.memory_bytes
    settings = settings.model_copy(update={"precision": numbers_on(arch, settings, target.accelerator)})
    unit = target.accelerator.unit
    if target.count == 1:
        return estimate_memory(arch, settings, work, unit, capacity)
    # Each card computes its share of a step's rows, and the cards divide what is the same for all rows.
    share = settings.model_copy(update={"batch_size": math.ceil(settings.batch_size / target.count)})
    alone = estimate_memory(arch, share, work, unit, None)
    elsewhere = sum(part.bytes - part.bytes // target.count for part in alone.parts if part.key in SHARDED)
    laid_out = estimate_memory(arch, share, work, unit, capacity + elsewhere)
    return summed(tuple(_divided(laid_out.parts, target.count)), capacity, laid_out.micro_batch, laid_out.layers_twice)


def _divided(parts: Iterable[Part], count: int) -> Iterable[Part]:
    for part in parts:
        if part.key not in SHARDED:
            yield part
            continue
        size, low, high = (round(each / count) for each in (part.bytes, part.low, part.high))
        yield Part(part.key, part.label, size, low, high, f"{part.arithmetic}, divided among {count}")


def estimate(arch: Architecture, settings: TrainingSettings, work: Work, target: Target, prices: PriceTable) -> Estimate:
    """Return what a run takes on a target."""
    memory = memory_on(arch, settings, work, target)
    needed = flops(arch, settings, work, memory)
    rate = target.rate(numbers_on(arch, settings, target.accelerator), needed.per_token, is_free=settings.precision == "auto")
    time = estimate_time(needed, rate, target.beside, count=target.count)
    span = (time.seconds, time.low, time.high)
    power = watts_of(target.accelerator.watts, target.accelerator.kind, prices, is_own=target.is_own)
    energy = estimate_energy(span, power, target.count, prices)
    money = estimate_money(span, energy, prices, hourly=target.hourly, count=target.count)
    return Estimate(target, memory, time, money, energy, rate.numbers)


def side_by_side(
    arch: Architecture, settings: TrainingSettings, work: Work, targets: Iterable[Target], prices: PriceTable
) -> list[Estimate]:
    """Return what a run takes on each kind of target: of several of a card as many as hold it, or the most there are.

    Those that hold it come first, of these the ones that are done within a week, and of these the cheapest: more than enough cards cost
    more, since each is set up.
    """
    chosen: dict[str, Estimate] = {}
    for target in sorted(targets, key=lambda each: each.count):
        kind = target.key.rpartition(":")[0] if target.provider else target.key  # without how many
        if kind not in chosen or chosen[kind].memory.fits == "no":
            chosen[kind] = estimate(arch, settings, work, target, prices)
    return sorted(
        chosen.values(), key=lambda each: (each.memory.fits == "no", each.time.seconds > TOO_LONG_SECONDS, each.money.amount or 0.0)
    )


def here_of(found: Sequence[Estimate], wanted: str) -> Estimate | None:
    """Return the estimate for where the run would go: of the workers' devices the GPU first, or the kind that is asked for."""
    own = [each for each in found if each.target.is_own and wanted in {"auto", each.target.accelerator.kind}]
    return min(own, key=lambda each: (each.target.accelerator.kind != "gpu", each.memory.fits == "no", each.time.seconds), default=None)


def _changes(
    arch: Architecture, settings: TrainingSettings, work: Work, memory: MemoryEstimate
) -> Iterable[tuple[str, str, dict[str, Any], bool]]:
    """Give what could be changed: key, words, settings, whether the result stays the same."""
    micro, layers = memory.micro_batch, arch.layers
    while micro > 1:
        micro = (micro + 1) // 2
        yield "micro_batch", f"Micro-batch {memory.micro_batch} → {micro}", {"micro_batch_size": micro}, True
    if memory.layers_twice < layers:
        yield "checkpointing", f"Compute all {layers} layers twice", {"gradient_checkpointing": layers}, True
    if memory.micro_batch > 1 and memory.layers_twice < layers:
        yield "both", "Micro-batch 1, all layers twice", {"micro_batch_size": 1, "gradient_checkpointing": layers}, True
    if settings.optimiser in {"auto", "adamw"}:
        yield "optimiser", "Optimiser state in 8 bits", {"optimiser": "adamw_8bit"}, False
    tuning = {"full": ("lora", "LoRA in place of full tuning"), "lora": ("qlora", "QLoRA in place of LoRA")}.get(settings.tuning)
    if tuning and not arch.refusal(tuning[0]):
        yield "tuning", tuning[1], {"tuning": tuning[0]}, False
    half = max(16, min(settings.max_length, work.longest_tokens) // 2)
    yield "max_length", f"Cut rows at {half:,} tokens", {"max_length": half}, False


def _cut(work: Work, most: int | None) -> Work:
    """Return the work over rows that are cut at so many tokens; as it is where they are not."""
    if most is None:
        return work
    return work.model_copy(update={"longest_tokens": min(work.longest_tokens, most), "mean_tokens": min(work.mean_tokens, float(most))})


def fixes(arch: Architecture, settings: TrainingSettings, work: Work, target: Target, prices: PriceTable) -> list[EstimateFix]:
    """Return what would save memory, what makes the run fit first, and of these what changes nothing else first."""
    now = estimate(arch, settings, work, target, prices)
    found: dict[str, EstimateFix] = {}
    for key, words, change, is_same in _changes(arch, settings, work, now.memory):
        then = estimate(arch, settings.model_copy(update=change), _cut(work, change.get("max_length")), target, prices)
        saves = now.memory.total - then.memory.total
        # Of the smaller batches the largest that fits: each halving costs some speed.
        if saves > 0 and (key not in found or found[key].then.fits == "no"):
            longer = then.time.seconds / now.time.seconds - 1
            pace = f"takes {percent(longer)} longer, " if longer >= WORTH_TELLING else ""
            label = f"{words} saves {in_bytes(saves)}, {pace}{'same' if is_same else 'another'} result"
            found[key] = EstimateFix(key, label, change, saves, is_same, then.memory)
    return sorted(found.values(), key=lambda fix: (FITTING.index(fix.then.fits), not fix.same_result))
