"""Which assumptions give the four published costs of fine-tuning runs: a search over four constants, for one provider at a time.

    python -m bench.published_costs

The source of the costs names neither tokens, nor passes, nor cards. So four constants are searched, each within a range that is plausible
by itself: tokens seen for each example over all passes, the share of its peak that one card reaches, the share that several reach
together, and the rented hours beside the computing. The device is no choice: of the three classes that prices are known of, in ones, twos,
fours and eights, the cheapest run that memory allows. Operations, memory and money are the estimator's own. What is left open by the
prices, which 24 GB card their first class is, is tried for each card that is rented as such, and said. Written to
bench/results/published_costs.json; a set counts when every cost it predicts is within a quarter of the published one.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from app.domain.accelerators import ACCELERATORS
from app.domain.architectures import Architecture
from app.domain.estimates import COUNTS, Target, memory_on
from app.domain.memory_estimate import Work
from app.domain.prices import PriceTable
from app.domain.specs import TrainingSettings
from app.domain.time_estimate import flops, published
from bench.results_file import keep

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from app.domain.prices import Rental

WITHIN = 0.25
PASSES = 3
LONGEST = 2
"""The longest example has so many times the tokens of the mean one."""
CARDS = {"Vast.ai": ("rtx_3090", "rtx_4090"), "RunPod": ("rtx_3090", "rtx_4090"), "AWS": ("a10g", "l4")}
"""What a 24 GB card is taken to be: consumer cards where they are rented; AWS has none, but rents these two."""


class Constant(NamedTuple):
    """One that is searched: its values, and why they are plausible."""

    values: NDArray[np.float64]
    unit: str
    why: str

    @property
    def range(self) -> list[float]:
        """Its ends."""
        return [float(self.values[0]), float(self.values[-1])]


CONSTANTS = {
    "tokens_per_example": Constant(
        np.geomspace(300, 6000, 27), "tokens, over all passes", f"{PASSES} passes over examples of 100 to 2,000 tokens"
    ),
    "share_of_peak_one_card": Constant(
        np.geomspace(0.15, 0.5, 25), "of the dense BF16 peak", "fine-tuning with adapters is reported at 15 to 50 %, hardly ever beyond"
    ),
    "share_of_peak_several_cards": Constant(
        np.geomspace(0.02, 0.4, 31), "of the dense BF16 peak",
        "cards that divide a model hand on its weights twice a step and its gradients once (`several_cards`), and how fast they do that "
        "decides: over NVLink up to 40 % are reached, over PCIe or a network a few, since eight rows compute for tenths of a second",
    ),
    "hours_beside": Constant(
        np.geomspace(0.05, 2.5, 33), "hours", "bringing up a machine, fetching base and data, looking at the result: minutes to a morning"
    ),
}  # fmt: skip


RULE = (
    f"the cheapest run among the provider's three classes, in {', '.join(map(str, COUNTS))} cards, that memory allows; one example at a "
    "time and every layer computed twice, as one would to fit"
)


class Found(NamedTuple):
    """The best set of constants: how far off its worst cost is."""

    worst: float
    constants: dict[str, float]
    meeting: int
    """How many sets of the search meet all four."""


class Published(NamedTuple):
    """A cost that was published."""

    name: str
    parameters: float
    examples: int
    tuning: str
    dollars: float


COSTS = (
    Published("3 B, 1,000 examples, QLoRA", 3e9, 1_000, "qlora", 0.68),
    Published("7 B, 5,000 examples, QLoRA", 7e9, 5_000, "qlora", 4.50),
    Published("70 B, 10,000 examples, QLoRA", 70e9, 10_000, "qlora", 28.0),
    Published("7 B, 5,000 examples, full", 7e9, 5_000, "full", 56.0),
)


class Choice(NamedTuple):
    """A run on so many cards of a class: what it computes, and at which rate and rent."""

    label: str
    cards: int
    hourly: float
    peak: float
    flops: float


def choices(cost: Published, tokens: float, rentals: list[Rental], card: str) -> Iterator[Choice]:
    """Give the devices that hold a run whose examples have so many tokens over all passes."""
    arch = Architecture.of_size(cost.parameters)
    mean = tokens / PASSES
    settings = TrainingSettings.model_validate({
        "tuning": cost.tuning, "epochs": PASSES, "micro_batch_size": 1, "gradient_checkpointing": arch.layers,
        "max_length": max(16, round(LONGEST * mean)),
    })  # fmt: skip
    work = Work(rows=cost.examples, steps=settings.total_steps(cost.examples), mean_tokens=mean, longest_tokens=round(LONGEST * mean))
    for rental in rentals:
        accelerator = ACCELERATORS[card if "24 GB" in rental.label else rental.device]
        for count in COUNTS:
            label = f"{count} × {accelerator.name.removeprefix('NVIDIA ')}"
            target = Target("", label, accelerator, count, rental.hourly, "", is_own=False, throughput=published(accelerator))
            memory = memory_on(arch, settings, work, target)
            if memory.fits != "no":
                yield Choice(label, count, rental.hourly, accelerator.bf16_flops, flops(arch, settings, work, memory).total)


def dollars(choice: Choice, one: Any, several: Any, hours: Any) -> Any:
    """Return what a run costs at these shares of the peak and hours beside; each may be an array."""
    rate = choice.peak * choice.cards * (one if choice.cards == 1 else several)
    return (choice.flops / rate / 3600 + hours) * choice.hourly * choice.cards


def search(rentals: list[Rental], card: str) -> Found:
    """Return the set whose worst cost is least far off, at one provider with one card as its 24 GB class, and how many sets meet all."""
    grids = np.meshgrid(*(constant.values for constant in list(CONSTANTS.values())[1:]), indexing="ij", sparse=True)
    shape = np.broadcast_shapes(*(grid.shape for grid in grids))
    best, meeting = Found(np.inf, {}, 0), 0
    for tokens in CONSTANTS["tokens_per_example"].values:
        held = [list(choices(cost, float(tokens), rentals, card)) for cost in COSTS]
        if not all(held):
            continue
        cheapest = [np.min(np.stack([np.broadcast_to(dollars(each, *grids), shape) for each in there]), axis=0) for there in held]
        ratios = np.stack([found / cost.dollars for found, cost in zip(cheapest, COSTS, strict=True)])
        off = np.max(np.abs(ratios - 1), axis=0)
        meeting += int(np.count_nonzero(off <= WITHIN))
        place = np.unravel_index(np.argmin(off), off.shape)
        if off[place] < best.worst:
            chosen = [float(constant.values[at]) for constant, at in zip(list(CONSTANTS.values())[1:], place, strict=True)]
            best = Found(float(off[place]), dict(zip(CONSTANTS, [float(tokens), *chosen], strict=True)), 0)
    return best._replace(meeting=meeting)


def predicted(rentals: list[Rental], card: str, constants: dict[str, float]) -> list[dict[str, Any]]:
    """Return each published cost beside what a set of constants predicts, on the cheapest device that holds the run."""
    tokens, *rest = constants.values()
    found = []
    for cost in COSTS:
        amount, choice = min(
            ((float(dollars(each, *rest)), each) for each in choices(cost, tokens, rentals, card)), key=lambda pair: pair[0]
        )
        told = {"run": cost.name, "published": cost.dollars, "predicted": round(amount, 3), "ratio": round(amount / cost.dollars, 3)}
        many = {"several_cards": between(cost, choice, rest[1])} if choice.cards > 1 else {}
        found.append(told | {"on": choice.label} | many)
    return found


def between(cost: Published, choice: Choice, share: float) -> dict[str, float]:
    """Return what a share of the peak means for cards that divide a model: the length of a step, and how fast they hand things on in it."""
    steps = TrainingSettings(epochs=PASSES).total_steps(cost.examples)
    step = choice.flops / (choice.peak * choice.cards * share) / steps
    handed = (2 * 2 + 4) * cost.parameters * (1 - 1 / choice.cards) / 1e9
    return {
        "seconds_a_step": round(step, 2),
        "gigabytes_a_card_receives": round(handed, 1),
        "at_least_gigabytes_a_second": round(handed / step, 2),
    }


def tried() -> Iterator[dict[str, Any]]:
    """Give the best set at each provider with each card."""
    prices = PriceTable()
    for provider, cards in CARDS.items():
        rentals = [rental for rental in prices.rentals if rental.provider == provider]
        for card in cards:
            found = search(rentals, card)
            yield {
                "provider": provider, "card_of_24_gb": card, "meets_all": found.worst <= WITHIN, "worst_off": round(found.worst, 4),
                "sets_that_meet_all": found.meeting, "constants": found.constants,
                "runs": predicted(rentals, card, found.constants),
            }  # fmt: skip


def table(found: list[dict[str, Any]]) -> str:
    """Return what was found as the docs show it."""
    lines = [
        "| provider, 24 GB card | tokens | one card | several | hours | 3 B | 7 B | 70 B | 7 B, full | furthest off |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
        "| published | | | | | " + " | ".join(f"${cost.dollars:.2f}" for cost in COSTS) + " | |",
    ]
    for each in found:
        tokens, one, several, hours = each["constants"].values()
        costs = " | ".join(f"${run['predicted']:.2f}" for run in each["runs"])
        card = ACCELERATORS[each["card_of_24_gb"]].name.removeprefix("NVIDIA ").removeprefix("GeForce ")
        lines.append(
            f"| {each['provider']}, {card} | {tokens:,.0f} | {one:.0%} | {several:.1%} | {hours:.2f} | {costs} | {each['worst_off']:.0%} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Search, write what was found, and fail where no set meets all four."""
    found = sorted(tried(), key=lambda each: each["worst_off"])
    constants = {name: {"range": each.range, "unit": each.unit, "why": each.why} for name, each in CONSTANTS.items()}
    path = keep("published_costs", {
        "within": WITHIN, "passes": PASSES, "device_rule": RULE, "constants": constants, "verdict": found[0], "others": found[1:],
    })  # fmt: skip
    for each in found:
        runs = ", ".join(f"{run['ratio']:.2f}" for run in each["runs"])
        print(f"{each['provider']}, {each['card_of_24_gb']}: worst {each['worst_off']:.1%} off ({runs})")
    print(path)
    sys.exit(0 if found[0]["meets_all"] else 1)


if __name__ == "__main__":
    main()
