"""How long a run takes: the operations it needs over the rate at which a device does them."""

from __future__ import annotations

import math
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from app.domain.beside_steps import NO_TIME, Answers, answer_seconds, answers_of
from app.domain.figures import operations, percent, significant
from app.domain.spans import Span
from app.domain.specs import EVALUATIONS, rows_seen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.domain.accelerators import Accelerator, Numbers
    from app.domain.architectures import Architecture
    from app.domain.beside_steps import Beside
    from app.domain.memory_estimate import MemoryEstimate
    from app.domain.packs import Work
    from app.domain.specs import TrainingSettings

PEAK_SHARE = {"gpu": (0.31, 0.12, 0.55), "cpu": (0.4, 0.05, 4.0), "laptop": (0.35, 0.1, 0.6), "phone": (0.1, 0.03, 0.3)}
"""Which share of its peak a device reaches in training: likely, at least, at most. A GPU's likely one is an assumption under which
published costs come out (docs/estimates.md)."""
SEVERAL_SHARE = (0.018, 0.01, 0.4)
"""The same of each of several cards that divide a model: they wait for what they hand each other, over NVLink little, over PCIe or a
network most of the time. The likely one is what a published cost of full tuning comes to (docs/estimates.md)."""
FP32_PEAK_SHARE = (0.45, 0.15, 0.8)
"""Of its float32 peak, which one GPU reaches without tensor cores: more than of the BF16 one, since products then take so much longer
that what merely moves numbers weighs less. An assumption, which no GPU has measured."""
TWICE_THE_BYTES = 2.0
"""Cards that divide a model hand on float32 at half the pace of BF16."""
PASS_SECONDS = 0.001
"""A GPU begins one operation after another: a layer with its adapters has some 150 of them, forward and back, at 5 to 10 µs each."""
LEARNED_SPREAD, SPREAD_OF_ONE = 0.2, 0.8
"""No two runs take exactly as long: a rate is told no more exactly than the first, and one from n runs by the second over n less so."""
LEARNED_FROM = 20
"""A device is learned from so many of its newest runs: drivers and machines change."""
LIKE_SIZE = 4.0
"""A rate counts for bases whose tokens take up to so many times more operations or fewer: small ones spend their time on other things."""
ANOTHER_SPREAD = 2.0
"""What was learned in one precision tells of another one so many times more or less, beside its own range."""
SPELT: dict[Numbers, str] = {"bf16": "bf16", "fp32": "float32"}


class Flops(NamedTuple):
    """Operations (a multiplication and an addition are two): for a token that is learnt from, for the whole run, and how it was counted.

    `passes` counts how often a layer is begun, forward and back being one: what a GPU's driver has to be told, however little it is.
    """

    per_token: float
    total: float
    tokens: float
    passes: float
    arithmetic: str
    answers: Answers = Answers()


class Throughput(NamedTuple):
    """Operations a second that a device does in training: likely, at least, at most; where that is from, and from how many runs.

    `pass_seconds`: a layer takes no less, forward and back, however few operations it has. `numbers`: what it computes in.
    """

    flops_per_second: float
    low: float
    high: float
    source: str
    samples: int = 0
    pass_seconds: float = 0.0
    numbers: Numbers = "bf16"
    shown: tuple[Sample, ...] = ()


class Sample(NamedTuple):
    """What a past run has shown of its device: so many operations in so many seconds of steps; `per_token` of them for a token of its base.

    Without `per_token` it counts for bases of any size. `least_seconds`: so many the steps took at least, where the rest may all have gone
    into answers of checks; 0 where that is known.
    """

    flops: float
    seconds: float
    per_token: float = 0.0
    least_seconds: float = 0.0


class TimeEstimate(NamedTuple):
    """Seconds of a run, from its start to its end, with their range."""

    seconds: float
    low: float
    high: float
    arithmetic: str
    source: str


def rows_of(settings: TrainingSettings, work: Work) -> int:
    """Return how many rows a run learns from, each as often as it is seen; the last step of whole passes may have fewer than others."""
    return work.steps * settings.batch_size if settings.max_steps else rows_seen(work.rows, settings.epochs)


def tokens_of(settings: TrainingSettings, work: Work) -> float:
    """Return how many tokens a run computes, prompts and answers, padding aside."""
    return rows_of(settings, work) * work.mean_tokens * work.computed_share


def flops(arch: Architecture, settings: TrainingSettings, work: Work, memory: MemoryEstimate) -> Flops:
    """Return the operations of a run laid out as its memory allows.

    Each weight that a token passes costs 2 forward and 2 for the gradient of what goes through; where it is trained 2 more; and 2 again in
    layers that are computed twice. The head runs on learnt tokens alone. What merely moves numbers is not counted: a rate leaves it room.
    """
    head = 2.0 * arch.vocabulary * arch.hidden * work.trained_share
    matrices = 2.0 * (arch.computed_parameters - arch.vocabulary * arch.hidden)
    attention = 4.0 * arch.heads * arch.head_dim * arch.attention_layers * work.mean_tokens
    layers = matrices + attention
    adapter = 0.0 if settings.tuning == "full" else 2.0 * arch.lora_parameters(settings.rank, dora=settings.adapter == "dora")
    trained = matrices + head if settings.tuning == "full" else adapter
    again = (layers + adapter) * memory.layers_twice / arch.layers
    forward = layers + head + adapter
    per_token = forward + (layers + attention + head + adapter) + trained + again
    tokens = tokens_of(settings, work)
    checks = EVALUATIONS if settings.eval_every_steps == "auto" else work.steps // settings.eval_every_steps
    checked = checks * work.eval_rows * work.mean_tokens * forward
    answers = answers_of(arch, work, checks + 1, forward)
    words = f"{tokens:,.0f} tokens × {operations(per_token)}" + (f" + {operations(checked)} of checks" if checked else "")
    passes = work.steps * math.ceil(settings.batch_size / memory.micro_batch) * arch.layers
    return Flops(per_token, tokens * per_token + checked, tokens, passes, words, answers)


def published(accelerator: Accelerator, count: int = 1, numbers: Numbers = "bf16") -> Throughput:
    """Return what a device does by its data sheet and the share of it that training usually reaches, on one or on several together."""
    is_gpu = accelerator.kind == "gpu"
    if is_gpu and not accelerator.knows_bf16:
        numbers = "fp32"
    shares = FP32_PEAK_SHARE if is_gpu and numbers == "fp32" else PEAK_SHARE[accelerator.kind]
    peak = accelerator.peak(numbers)
    likely, low, high = (share * peak for share in shares)
    words = f"{percent(shares[0])} of {operations(peak)}/s"
    if count > 1:
        halved = TWICE_THE_BYTES if numbers == "fp32" else 1.0
        waiting = [share * accelerator.bf16_flops / halved for share in SEVERAL_SHARE]
        likely, low, high = map(min, (likely, low, high), waiting)
        words = f"{percent(likely / peak)} of {operations(peak)}/s on each of several cards that wait for each other"
    name = SPELT[numbers]
    what = f"its {name} peak by the data sheet" if accelerator.is_exact else f"an assumed peak in {name}, since nobody has measured it"
    return Throughput(likely, low, high, f"{words}, {what}", pass_seconds=PASS_SECONDS if is_gpu else 0.0, numbers=numbers)


def learned(samples: Sequence[Sample], numbers: Numbers = "bf16", *, distance: float = 1.0) -> Throughput:
    """Return what past runs in one precision, the newest first, say of their device; there has to be one.

    `distance`: how many times larger or smaller their bases are than the one that is asked about, which widens the range.
    """
    rates = [each.flops / each.seconds for each in samples[:LEARNED_FROM]]
    middle = median(rates)
    wide = (1 + LEARNED_SPREAD + SPREAD_OF_ONE / len(rates)) * math.sqrt(distance)
    fastest = (each.flops / (each.least_seconds or each.seconds) for each in samples[:LEARNED_FROM])
    low, high = min(*rates, middle / wide), max(*fastest, middle * wide)
    runs = "1 run" if len(rates) == 1 else f"{len(rates)} runs"
    source = f"learned from {runs} in {SPELT[numbers]} on this device"
    return Throughput(middle, low, high, source, len(rates), numbers=numbers, shown=tuple(samples))


def for_size(known: Throughput, per_token: float) -> Throughput | None:
    """Return what runs say of a base whose tokens take so many operations; None where none of theirs is of like size."""
    far = [(_distance(each.per_token, per_token), each) for each in known.shown]
    like = [pair for pair in far if pair[0] <= LIKE_SIZE]
    if not like:
        return None
    return learned([each for _, each in like], known.numbers, distance=median(distance for distance, _ in like))


def _distance(one: float, other: float) -> float:
    return max(one / other, other / one) if one > 0 and other > 0 else 1.0


def in_another(known: Throughput, accelerator: Accelerator, numbers: Numbers) -> Throughput:
    """Return what runs in one precision let expect of another: as far from it as the published rates are, with a wide range."""
    ratio = published(accelerator, 1, numbers).flops_per_second / published(accelerator, 1, known.numbers).flops_per_second
    likely, low, high = (each * ratio for each in (known.flops_per_second, known.low / ANOTHER_SPREAD, known.high * ANOTHER_SPREAD))
    source = f"{known.source}, × {significant(ratio)} for {SPELT[numbers]}, in which no run here has shown a rate"
    return Throughput(likely, low, high, source, known.samples, numbers=numbers)


def answering_of(needed: Flops, rate: Throughput, beside: Beside) -> Span:
    """Return the seconds that answers of checks take."""
    return answer_seconds(needed.answers, Span(rate.flops_per_second, rate.low, rate.high), beside)


def estimate_time(needed: Flops, rate: Throughput, beside: Beside, *, count: int = 1) -> TimeEstimate:
    """Return how long so many operations take at a rate, on so many devices at once, with what comes before the first step and beside it.

    Seconds = start-up + operations / rate + layers begun × seconds of each + answers of checks. A rate that was learned has what beginning
    a layer costs in it.
    """
    rates = Span(rate.flops_per_second, rate.low, rate.high)
    answering = answering_of(needed, rate, beside)
    layer = NO_TIME if rate.samples else beside.layer
    busy = [
        max(needed.total / each / count, needed.passes * rate.pass_seconds) + needed.passes * begun
        for each, begun in zip((rates.likely, rates.high, rates.low), layer, strict=True)
    ]
    many = f"on each of {count} devices " if count > 1 else ""
    words = f"{needed.arithmetic} = {operations(needed.total)}; at {operations(rates.likely)}/s in {SPELT[rate.numbers]} {many}"
    if needed.passes * rate.pass_seconds > needed.total / rates.likely / count:
        words += f"that would be less than {needed.passes:,.0f} layers begun × {significant(rate.pass_seconds * 1000)} ms "
    if layer.likely:
        words += f"and {needed.passes:,.0f} layers begun × {significant(layer.likely * 1000)} ms "
    words += f"= {math.ceil(busy[0]):,} s, " + (f"{math.ceil(answering.likely):,} s of answers at checks, " if answering.likely else "")
    words += f"and {significant(beside.startup.likely)} s to begin"
    found = [sum(parts) for parts in zip(busy, answering, beside.startup, strict=True)]
    return TimeEstimate(found[0], found[1], found[2], words, rate.source)
