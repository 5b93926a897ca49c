"""What a run will take, written out for scripts: the answer of `hone estimate --json` and of REST."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, ConfigDict, Field

from app.domain.datasets import HELD_OUT_SHARE
from app.domain.errors import Invalid
from app.domain.estimates import ASSUMED_TOKENS, LONGEST
from app.domain.memory_estimate import estimate_memory
from app.domain.packs import Work
from app.domain.precisions import PRECISIONS, weights_bytes
from app.domain.specs import settings_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.domain.architectures import Architecture
    from app.domain.estimates import Estimate
    from app.domain.memory_estimate import MemoryEstimate
    from app.domain.prices import PriceTable
    from app.domain.specs import TrainingSettings

TOLD = ("tuning", "rank", "batch_size", "max_length", "epochs", "max_steps", "optimiser", "gradient_checkpointing", "micro_batch_size")
"""Settings on which an estimate depends most."""


NUMBER = re.compile(r"(\d+(?:\.\d*)?(?:e\+?\d+)?)\s*([kmbt]?)", re.IGNORECASE)
UNITS = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}
MOST_EXAMPLES, MOST_TOKENS = 1_000_000_000, 2**20
NO_DEVICE = "a GPU of unknown size"
"""What memory is told for where there is no device at all."""
EXAMPLES = 1000
"""Of a run of which nobody says how many it learns from."""
MOST_CHECKED = 1024
"""Held-out rows that a check looks at, at most."""


def parameters_from(text: str) -> float:
    """Return 7e9 for 7e9, 7B or 7000M."""
    found = NUMBER.fullmatch(text.strip())
    if not found:
        raise Invalid(f"{text[:40]!r} is no number of parameters; say 7e9 or 7B.", param="params")
    return float(found[1]) * UNITS[found[2].lower()]


def work_of_examples(examples: int, tokens: float | None, settings: TrainingSettings) -> tuple[Work, list[str]]:
    """Return what a run over so many examples of so many tokens computes, and what was assumed."""
    assumptions = []
    if tokens is None:
        tokens = ASSUMED_TOKENS
        assumptions.append(f"An example has {tokens:,.0f} tokens, and half of them are learnt.")
    if not 1 <= tokens <= MOST_TOKENS:
        raise Invalid(f"Give a number between 1 and {MOST_TOKENS:,}.", param="tokens")
    if not 1 <= examples <= MOST_EXAMPLES:
        raise Invalid(f"Give a number between 1 and {MOST_EXAMPLES:,}.", param="examples")
    mean = min(tokens, float(settings.max_length))
    work = Work(
        rows=examples, steps=settings.total_steps(examples), mean_tokens=mean,
        longest_tokens=min(settings.max_length, round(LONGEST * mean)), eval_rows=min(MOST_CHECKED, round(examples * HELD_OUT_SHARE)),
    )  # fmt: skip
    return work, assumptions


def sample_run(arch: Architecture) -> tuple[TrainingSettings, Work, list[str]]:
    """Return a run with the usual settings, for whoever has no rows yet: settings, what it computes, and what is taken for granted."""
    settings = settings_for(None, {})
    work, assumptions = work_of_examples(EXAMPLES, None, settings)
    usual = f"{EXAMPLES:,} examples are seen {settings.epochs:g} times, {settings.batch_size} a step, with LoRA of rank {settings.rank}."
    return settings, work, [usual, *assumptions, *([] if arch.exact else [arch.gap])]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True)


class PartOut(_Value):
    """What one part takes in memory."""

    key: str = Field(examples=["weights"])
    label: str
    bytes: int
    low: int
    high: int
    arithmetic: str = Field(description="How it was worked out, with the numbers in it.")


class MemoryOut(_Value):
    """Memory on one device, or on each of several."""

    device: str = Field(description="Its name.")
    total: int = Field(description="Bytes, most likely.")
    low: int
    high: int
    fits: str = Field(description="yes, tight (likely, not certain), no, or unknown.")
    micro_batch: int = Field(description="Examples computed at once.")
    layers_twice: int = Field(description="Layers whose results are computed twice rather than kept.")
    parts: list[PartOut]


class DeviceOut(_Value):
    """A run on one device, or on several of a kind."""

    key: str
    name: str
    provider: str | None = Field(description="Who rents it out; null for one's own.")
    count: int = Field(description="How many cards. Hone itself trains a run on one; more are told where one does not hold it.")
    capacity_bytes: int = Field(description="Of one card.")
    fits: str
    memory_bytes: int = Field(description="What the run takes on each card.")
    seconds: float
    seconds_low: float
    seconds_high: float
    hourly: float | None = Field(description="Rent of one card.")
    cost: float | None = Field(description="In the currency of the price table: rent, or one's own electricity.")
    cost_usd: float | None = Field(description="The same where that currency is the dollar; else null.")
    energy_wh: float
    co2_grams: float
    arithmetic: dict[str, str] = Field(description="How time, money and energy were worked out, and where the rate is from.")


class CostOut(_Value):
    """Dollars by device, one's own too, which cost electricity; null for one that does not hold the run, or in another currency."""

    cheapest: float | None = Field(
        description="Of the devices to rent that hold the run, certainly or likely, and are done within a week, what the cheapest costs; "
        "where none is done so soon, the cheapest of those that hold it. Null where none does."
    )
    device: str | None = Field(description="That device's key.")
    by_device: dict[str, float | None]


class Quote(_Value):
    """Everything that can be told of a run before it starts."""

    model: str
    parameters: int
    active_parameters: int = Field(description="Those that one token passes; fewer in mixtures of experts.")
    trained_parameters: int
    exact: bool = Field(description="Whether the parameters are counted from the model's own configuration.")
    weights_bytes: dict[str, int] = Field(
        description="The weights alone at each precision: parameters × bits a weight / 8. NF4 leaves embeddings and head in 16 bits."
    )
    settings: dict[str, Any]
    work: dict[str, float] = Field(description="Rows, steps and tokens that the run computes.")
    assumptions: list[str] = Field(description="What is taken for granted.")
    memory_bytes: MemoryOut = Field(
        description="On the first of the devices where it holds the run, else on the largest; without any, on a GPU of unknown size."
    )
    devices: list[DeviceOut] = Field(
        description="Those that hold it first, of these the ones that are done within a week, and of these the cheapest."
    )
    currency: str
    prices_as_of: str
    cost_usd: CostOut

    @classmethod
    def of(
        cls, *, model: str, arch: Architecture, settings: TrainingSettings, work: Work, estimates: Sequence[Estimate],
        prices: PriceTable, assumptions: Sequence[str] = (),
    ) -> Self:  # fmt: skip
        """Write estimates out; of none, memory alone is told."""
        devices = [_device(each, prices) for each in estimates]
        holding = [each for each in devices if each.fits != "no" and each.provider]
        if estimates:
            holds = any(each.memory.fits != "no" for each in estimates)
            shown = estimates[0] if holds else max(estimates, key=lambda each: each.memory.capacity or 0)
            memory = _memory(shown.target.label, shown.memory)
        else:
            memory = _memory(NO_DEVICE, estimate_memory(arch, settings, work, "gpu", None))
        is_full, never = settings.tuning == "full", arch.refusal(settings.tuning)
        return cls(
            model=model, parameters=arch.parameters, active_parameters=arch.active_parameters, exact=arch.exact,
            trained_parameters=arch.parameters if is_full else arch.lora_parameters(settings.rank, dora=settings.adapter == "dora"),
            weights_bytes={key: weights_bytes(arch.parameters, key, unquantised=arch.unquantised_parameters) for key in PRECISIONS},
            settings={name: getattr(settings, name) for name in TOLD if not is_full or name != "rank"},
            work=work.model_dump(), assumptions=[*assumptions, *([never] if never else [])], memory_bytes=memory, devices=devices,
            currency=prices.currency, prices_as_of=prices.as_of,
            cost_usd=CostOut(
                cheapest=holding[0].cost_usd if holding else None, device=holding[0].key if holding else None,
                by_device={each.key: each.cost_usd if each.fits != "no" else None for each in devices},
            ),
        )  # fmt: skip


def _memory(device: str, memory: MemoryEstimate) -> MemoryOut:
    parts = [PartOut(**part._asdict()) for part in memory.parts]
    return MemoryOut(
        device=device, total=memory.total, low=memory.low, high=memory.high, fits=memory.fits, micro_batch=memory.micro_batch,
        layers_twice=memory.layers_twice, parts=parts,
    )  # fmt: skip


def _device(found: Estimate, prices: PriceTable) -> DeviceOut:
    target, time = found.target, found.time
    return DeviceOut(
        key=target.key, name=target.label, provider=target.provider, count=target.count,
        capacity_bytes=target.accelerator.memory_bytes, fits=found.memory.fits, memory_bytes=found.memory.total,
        seconds=time.seconds, seconds_low=time.low, seconds_high=time.high, hourly=target.hourly, cost=found.money.amount,
        cost_usd=found.money.amount if prices.currency == "USD" else None, energy_wh=found.energy.watt_hours,
        co2_grams=found.energy.co2_grams,
        arithmetic={
            "time": time.arithmetic, "rate": time.source, "money": found.money.arithmetic, "energy": found.energy.arithmetic,
        },
    )  # fmt: skip
