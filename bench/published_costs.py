"""Which assumptions give the four published costs of fine-tuning runs, at one provider at a time.

    python -m bench.published_costs

The source of the costs names neither tokens, nor passes, nor cards. So four constants are searched, each within a range that is plausible
by itself: tokens of an example, the share of its peak that one card reaches, the share that several reach together, and the rented hours
beside the computing. Everything else is the estimator's own: the settings of a run where nobody sets any, operations, memory, prices, and
the device, which is the cheapest to rent that memory allows. What the prices leave open, which card their 24 GB class is, is tried for
cards that are rented as such. The estimator's defaults are one such set; bench/results/published_costs.json has what they predict beside
the best set of each provider. A set counts when every cost it predicts is within a quarter of the published one.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from app.domain.accelerators import ACCELERATORS, RENTED
from app.domain.architectures import Architecture
from app.domain.beside_steps import ON_GPU
from app.domain.estimates import ASSUMED_TOKENS, memory_on, rented
from app.domain.prices import SETUP_HOURS, PriceTable
from app.domain.quotes import work_of_examples
from app.domain.specs import TrainingSettings
from app.domain.time_estimate import PASS_SECONDS, PEAK_SHARE, SEVERAL_SHARE, flops
from bench.results_file import keep

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

WITHIN = 0.25
CARDS = {"Vast.ai": ("rtx_3090", "rtx_4090"), "RunPod": ("rtx_3090", "rtx_4090"), "AWS": ("a10g", "l4")}
"""What a 24 GB card is taken to be: consumer cards where they are rented; AWS has none, but rents these two."""
RULE = "the cheapest of the provider's three classes, of each as many cards (1, 2, 4 or 8) as memory allows; everything else as by default"


class Constant(NamedTuple):
    """One that is searched: its values, and why they are plausible."""

    values: NDArray[np.float64]
    unit: str
    why: str


CONSTANTS = {
    "tokens_per_example": Constant(
        np.geomspace(100, 1024, 24), "tokens", "a question and its answer, or a page; rows are cut at 1,024 by default, and seen six times"
    ),
    "share_of_peak_one_card": Constant(
        np.geomspace(0.12, 0.55, 32), "of the dense BF16 peak", "fine-tuning with adapters is reported between about 12 and 55 %"
    ),
    "share_of_peak_several_cards": Constant(
        np.geomspace(0.01, 0.4, 32), "of the dense BF16 peak",
        "cards that divide a model hand on its weights twice a step and its gradients once (`several_cards`), and how fast they do that "
        "decides: over NVLink up to 40 % are reached, over PCIe or a network a few, since eight rows compute for tenths of a second",
    ),
    "hours_beside": Constant(
        np.geomspace(0.05, 2.5, 36), "hours", "bringing up a machine, fetching base and data, a try, a look at the result"
    ),
}  # fmt: skip
DEFAULTS = (ASSUMED_TOKENS, PEAK_SHARE["gpu"][0], SEVERAL_SHARE[0], SETUP_HOURS)
"""The estimator's own."""


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
    least_seconds: float
    steps: int


class Found(NamedTuple):
    """The best set of constants, how far off its worst cost is, and how many sets of the search meet all four."""

    worst: float
    constants: tuple[float, ...]
    meeting: int


def at(provider: str, card: str) -> PriceTable:
    """Return one provider's prices, with a card as its 24 GB class."""
    mine = [rental for rental in PriceTable().rentals if rental.provider == provider]
    taken = (rental.model_copy(update={"device": card}) if rental.device == RENTED["24gb"] else rental for rental in mine)
    return PriceTable(rentals=tuple(taken))


def choices(cost: Published, tokens: float, prices: PriceTable) -> Iterator[Choice]:
    """Give the devices that hold a run whose examples have so many tokens."""
    arch, settings = Architecture.of_size(cost.parameters), TrainingSettings.model_validate({"tuning": cost.tuning})
    work, _ = work_of_examples(cost.examples, tokens, settings)
    for target in rented(prices):
        memory = memory_on(arch, settings, work, target)
        if memory.fits != "no":
            needed, card = flops(arch, settings, work, memory), target.accelerator
            label = f"{target.count} × {card.name.removeprefix('NVIDIA ')}"
            least = needed.passes * PASS_SECONDS
            yield Choice(label, target.count, target.hourly or 0.0, card.bf16_flops, needed.total, least, work.steps)


def dollars(choice: Choice, one: Any, several: Any, hours: Any) -> Any:
    """Return what a run costs at these shares of the peak and hours beside; each may be an array."""
    rate = choice.peak * choice.cards * (one if choice.cards == 1 else several)
    seconds = np.maximum(choice.flops / rate, choice.least_seconds) + ON_GPU.startup.likely
    return (seconds / 3600 + hours) * choice.hourly * choice.cards


def search(prices: PriceTable) -> Found:
    """Return the set whose worst cost is least far off at these prices."""
    grids = np.meshgrid(*(constant.values for constant in list(CONSTANTS.values())[1:]), indexing="ij", sparse=True)
    shape = np.broadcast_shapes(*(grid.shape for grid in grids))
    best, meeting = Found(np.inf, (), 0), 0
    for tokens in map(float, CONSTANTS["tokens_per_example"].values):
        held = [list(choices(cost, tokens, prices)) for cost in COSTS]
        cheapest = [np.min(np.stack([np.broadcast_to(dollars(each, *grids), shape) for each in there]), axis=0) for there in held]
        off = np.max(np.abs(np.stack([found / cost.dollars for found, cost in zip(cheapest, COSTS, strict=True)]) - 1), axis=0)
        meeting += int(np.count_nonzero(off <= WITHIN))
        place = np.unravel_index(np.argmin(off), off.shape)
        if off[place] < best.worst:
            chosen = (float(constant.values[at]) for constant, at in zip(list(CONSTANTS.values())[1:], place, strict=True))
            best = Found(float(off[place]), (tokens, *chosen), 0)
    return best._replace(meeting=meeting)


def predicted(prices: PriceTable, constants: tuple[float, ...]) -> list[dict[str, Any]]:
    """Return each published cost beside what a set of constants predicts, on the cheapest device that holds the run."""
    tokens, *rest = constants
    found = []
    for cost in COSTS:
        amount, choice = min(((float(dollars(each, *rest)), each) for each in choices(cost, tokens, prices)), key=lambda pair: pair[0])
        told = {"run": cost.name, "published": cost.dollars, "predicted": round(amount, 3), "ratio": round(amount / cost.dollars, 3)}
        many = {"several_cards": between(cost, choice, rest[1])} if choice.cards > 1 else {}
        found.append(told | {"on": choice.label} | many)
    return found


def between(cost: Published, choice: Choice, share: float) -> dict[str, float]:
    """Return what a share of the peak means for cards that divide a model: the length of a step, and how fast they hand things on in it."""
    step = choice.flops / (choice.peak * choice.cards * share) / choice.steps
    handed = (2 * 2 + 4) * cost.parameters * (1 - 1 / choice.cards) / 1e9
    return {
        "seconds_a_step": round(step, 2), "gigabytes_a_card_receives": round(handed, 1),
        "at_least_gigabytes_a_second": round(handed / step, 2),
    }  # fmt: skip


def told(provider: str, card: str, constants: tuple[float, ...]) -> dict[str, Any]:
    """Return a set of constants at a provider with what it predicts."""
    runs = predicted(at(provider, card), constants)
    worst = max(abs(run["predicted"] / run["published"] - 1) for run in runs)
    return {
        "provider": provider, "card_of_24_gb": card, "meets_all": worst <= WITHIN, "worst_off": round(worst, 4),
        "constants": dict(zip(CONSTANTS, constants, strict=True)), "runs": runs,
    }  # fmt: skip


def table(found: list[dict[str, Any]]) -> str:
    """Return what was found as the docs show it; the first are the defaults."""
    lines = [
        "| provider, 24 GB card | tokens | one card | several | hours | 3 B | 7 B | 70 B | 7 B, full | furthest off |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
        "| published | | | | | " + " | ".join(f"${cost.dollars:.2f}" for cost in COSTS) + " | |",
    ]
    for number, each in enumerate(found):
        tokens, one, several, hours = each["constants"].values()
        costs = " | ".join(f"${run['predicted']:.2f}" for run in each["runs"])
        card = ACCELERATORS[each["card_of_24_gb"]].name.removeprefix("NVIDIA ").removeprefix("GeForce ")
        name = f"{each['provider']}, {card}" if number else f"**the defaults, at {each['provider']}, {card}**"
        lines.append(f"| {name} | {tokens:,.0f} | {one:.0%} | {several:.1%} | {hours:.2f} | {costs} | {each['worst_off']:.1%} |")
    return "\n".join(lines)


def main() -> None:
    """Search, write what was found beside what the defaults predict, and fail where these do not meet all four."""
    verdict, others = told("Vast.ai", RENTED["24gb"], DEFAULTS), []
    for provider, card in ((provider, card) for provider, cards in CARDS.items() for card in cards):
        found = search(at(provider, card))
        others.append(told(provider, card, found.constants) | {"sets_that_meet_all": found.meeting})
    others.sort(key=lambda each: each["worst_off"])
    constants = {
        name: {"range": [float(each.values[0]), float(each.values[-1])], "unit": each.unit, "why": each.why}
        for name, each in CONSTANTS.items()
    }
    figures = {"within": WITHIN, "device_rule": RULE, "constants": constants, "verdict": verdict, "others": others}
    print(table([verdict, *others]))
    print(keep("published_costs", figures))
    sys.exit(0 if verdict["meets_all"] else 1)


if __name__ == "__main__":
    main()
