"""How much memory a run takes at most, part by part, before anything is loaded: the trainer's own rules, as arithmetic.

Two moments can be the highest: when the last layer's gradient begins, with all that layers have kept, and when the optimiser moves the
weights, with all gradients there. What a processor's allocator holds beside that was measured (bench/results/memory_predictions.json);
a GPU's share is torch's usual one, and no GPU has measured it yet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from app.domain.figures import in_bytes, percent, significant
from app.domain.held_memory import Held, held_by
from app.domain.kept_activations import is_fast, seen_bytes, token_bytes, working_bytes
from app.domain.packs import Pack, heaviest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.domain.accelerators import Unit
    from app.domain.architectures import Architecture
    from app.domain.packs import Work
    from app.domain.specs import TrainingSettings

LIBRARIES_BYTES = 512_000_000
"""What Python, torch, transformers and peft take in a trainer's process once imported (measured on Linux without a GPU)."""
FIRST_USE_BYTES = 188_000_000
"""What libraries take once they are used, whatever the base: a tokenizer, kernels, the allocator's first pieces (measured on a base of a
million parameters)."""
CONTEXT_BYTES = 600_000_000
"""What a GPU's driver and libraries hold before anything is loaded: between 0.5 and 0.8 GB by card and version."""
LEAST_TOKENS = 1_024
"""Packs are made no smaller than this as long as layers can be computed twice (workers/training/budget.py)."""
SHARE = {"cpu": 0.75, "gpu": 0.9}
"""Of what is free a step may take so much (workers/training/probe.py)."""
TRIED = 0.5
"""Above this share of a processor's memory the trainer tries the longest step beside all gradients; on a GPU it always does."""
CHUNK_LOGITS, LEAST_CHUNK = 1024 * 1024, 256
"""For how many positions logits are made at once (workers/training/loss.py)."""
BYTES_PER_LOGIT = {2: 10, 4: 8}
"""The logits in the type of the products, and in float32 before and after the softmax."""
BYTES_PER_HEAD_WEIGHT = 12
"""Of a head that is trained: its gradient in float32, a chunk's part of it, and what is handed on."""
SLACK = {"gpu": 0.1, "bf16": 0.22, "fp32": 0.05, "peft": 0.77}
"""What an allocator holds in pieces that are free, measured in what layers keep. A processor's keeps them to be fast: in bf16 the steps
between are float32 and leave holes of another size, and peft's own layers (dropout, DoRA) leave many. Measured, but for the GPU's."""
EVEN = 0.95
"""Rows whose mean is so near the longest are all of about one length."""
SHAPES_BYTES = 300_000_000
"""What a processor's libraries of products may keep beside that where rows vary in length: something for each shape they have seen, of
which the trainer has them keep 64 (workers/train.py). On a base of 63 million parameters the peak rose by 0.18 GB after the first step and
then no more, and by 0.9 GB in 60 steps without that bound (measured)."""
Fits = Literal["yes", "tight", "no", "unknown"]


class Part(NamedTuple):
    """What one part takes, in bytes, and how that is worked out."""

    key: str
    label: str
    bytes: int
    low: int
    high: int
    arithmetic: str


class MemoryEstimate(NamedTuple):
    """What a run takes in bytes, and whether the device has as much."""

    parts: tuple[Part, ...]
    total: int
    low: int
    high: int
    capacity: int | None
    fits: Fits
    micro_batch: int
    layers_twice: int


class Step(NamedTuple):
    """What the heaviest pack takes on its way there and back, in bytes."""

    layers: float
    """Kept for the gradient."""
    working: float
    """In hand while the last layer's gradient is made, beyond what the logits took before."""
    logits: float
    slack: float

    @property
    def total(self) -> float:
        """All of it."""
        return sum(self)


def fits(low: int, total: int, high: int, capacity: int | None) -> Fits:
    """Return whether what is needed is there: tight where it is likely, though not certain."""
    if capacity is None:
        return "unknown"
    if high <= capacity:
        return "yes"
    return "tight" if total <= capacity or low <= capacity * 0.95 else "no"


def summed(parts: tuple[Part, ...], capacity: int | None, micro_batch: int, layers_twice: int) -> MemoryEstimate:
    """Return the estimate that parts make together."""
    total, low, high = (sum(getattr(part, name) for part in parts) for name in ("bytes", "low", "high"))
    return MemoryEstimate(parts, total, low, high, capacity, fits(low, total, high, capacity), micro_batch, layers_twice)


def estimate_memory(arch: Architecture, settings: TrainingSettings, work: Work, unit: Unit, capacity: int | None) -> MemoryEstimate:
    """Return what a run takes at most on a kind of device with `capacity` bytes; None: unknown, so nothing is given up to fit."""
    run = _Run(arch, settings, work, unit)
    pack, twice = run.fitted(capacity)
    return summed(tuple(run.parts(pack, twice, capacity)), capacity, pack.rows, twice)


class _Run:
    """A run on a kind of device, and what its steps take there."""

    def __init__(self, arch: Architecture, settings: TrainingSettings, work: Work, unit: Unit) -> None:
        self.arch, self.settings, self.work, self.unit = arch, settings, work, unit
        self.held: Held = held_by(arch, settings, unit)
        self.context = LIBRARIES_BYTES + FIRST_USE_BYTES if unit == "cpu" else CONTEXT_BYTES
        own = "fp32" if self.held.number > 2 else "bf16"  # noqa: PLR2004 - bytes of a number
        self.slack = SLACK["gpu"] if unit == "gpu" else SLACK[own if is_fast(settings) or settings.tuning == "full" else "peft"]

    def fitted(self, capacity: int | None) -> tuple[Pack, int]:
        """Return the heaviest pack and how many layers are computed twice, once the trainer has given up what a capacity asks for."""
        said, layers = self.settings.gradient_checkpointing, self.arch.layers
        twice = 0 if said == "auto" else min(said, layers)
        pack = heaviest(self.settings, self.work, self.unit)
        room = float("inf") if capacity is None else SHARE[self.unit] * (capacity - self.context - self.held.static)
        while self._need(pack, twice) > room:
            if said == "auto" and twice < layers and (pack.rows == 1 or pack.tokens <= LEAST_TOKENS):
                twice = next((count for count in range(twice + 1, layers) if self._need(pack, count) <= room), layers)
            elif pack.rows > 1:
                pack = pack.halved(self.work)
            else:
                break
        return pack, twice

    def _need(self, pack: Pack, twice: int) -> float:
        return self.held.gradients + self.step(pack, twice, pack.tokens).total

    def step(self, pack: Pack, twice: int, tokens: float) -> Step:
        """Return what so many tokens take at once, in rows as long as a pack's."""
        arch, number = self.arch, self.held.number
        seen = seen_bytes(arch, pack.longest, number, is_cpu=self.unit == "cpu")
        layer = tokens * (token_bytes(arch, self.settings, number) + seen)
        kept = layer * (arch.layers - twice) + tokens * arch.hidden * number * (twice + 2)
        kept += self.held.cast * (arch.layers - twice) / arch.layers
        again = layer if twice == arch.layers else 0.0
        logits = self._logits(tokens)
        working = max(0.0, tokens * working_bytes(arch, number) + again + self.held.unpacked - logits)
        return Step(kept, working, logits, self.slack * kept)

    def _logits(self, tokens: float) -> float:
        arch, number = self.arch, self.held.number
        head = arch.vocabulary * arch.hidden
        trained = tokens * self.work.trained_share
        chunk = min(trained, max(LEAST_CHUNK, CHUNK_LOGITS // arch.vocabulary))
        made = chunk * arch.vocabulary * BYTES_PER_LOGIT[number] + 2 * arch.hidden * number * trained
        if self.held.is_full:
            return made + BYTES_PER_HEAD_WEIGHT * head
        # To answer word by word a processor lays the head's bf16 weights out anew, beside what the allocator has not given back.
        return max(made, number * head) if self.unit == "cpu" and number == 2 else made  # noqa: PLR2004 - bytes of a number

    def parts(self, pack: Pack, twice: int, capacity: int | None) -> Iterator[Part]:
        """Give all parts; they add up to the higher of the two moments."""
        held, step = self.held, self.step(pack, twice, pack.tokens)
        least, most = (self.step(pack, twice, tokens) for tokens in (pack.least, pack.most))
        kept = step.layers + step.working
        # One pack's gradients take the room of what it kept; beside those of another pack there are both.
        is_both = self.unit == "gpu" or pack.is_one_of_many or (capacity is not None and held.static + step.total > TRIED * capacity)
        later = 0.0 if is_both else min(held.gradients, kept)
        moving = max(0.0, held.moving - (step.total - later))
        yield from _held_parts(self.arch, held, moving)
        low, high = 0.9 * (least.layers + least.working), 1.1 * (most.layers + most.working)
        yield _part("activations", "Activations", kept - later, self._kept_words(pack, twice, step, later), (low - later, high - later))
        yield _part("logits", "Logits", step.logits, self._logit_words(), (0.8 * step.logits, 1.2 * step.logits))
        yield self._context_part()
        words = f"{percent(self.slack)} of the {in_bytes(step.layers)} that layers keep"
        shapes = SHAPES_BYTES if self.unit == "cpu" and self.work.mean_tokens < EVEN * self.work.longest_tokens else 0
        yield _part("margin", "Freed, not given back", step.slack, words, (0.3 * step.slack, 1.8 * step.slack + shapes))

    def _kept_words(self, pack: Pack, twice: int, step: Step, later: float) -> str:
        layers = self.arch.layers - twice
        words = f"{pack.tokens:,.0f} tokens in {layers} layers keep {in_bytes(step.layers)}"
        words += f", of {twice} layers only their inputs" if twice else ""
        words += f", and {in_bytes(step.working)} is in hand" if step.working else ""
        return f"{words}; {in_bytes(later)} of it is gone when the gradients need room" if later else words

    def _logit_words(self) -> str:
        chunk = max(LEAST_CHUNK, CHUNK_LOGITS // self.arch.vocabulary)
        words = f"at most {chunk:,} positions × {self.arch.vocabulary:,} words × {BYTES_PER_LOGIT[self.held.number]} bytes at once"
        return f"{words}, and the gradient of the head" if self.held.is_full else words

    def _context_part(self) -> Part:
        if self.unit == "gpu":
            return _part("context", "Driver and libraries", self.context, "whatever is trained", (500e6, 800e6))
        words = f"{in_bytes(LIBRARIES_BYTES)} once imported, {in_bytes(FIRST_USE_BYTES)} at the first step"
        return _part("context", "Python and libraries", self.context, words, (self.context * 0.9, self.context * 1.15))


def _held_parts(arch: Architecture, held: Held, moving: float) -> Iterator[Part]:
    spread = 0.0 if arch.exact else 0.05
    around = (1 - spread, 1 + spread)
    yield _scaled("weights", "Weights", held.weights, _weight_words(held), around)
    if held.quantised:
        bits = held.scales * 8 / held.quantised
        yield _scaled("quantisation", "Quantisation scales", held.scales, f"{held.quantised:,} weights × {bits:.3f} bits / 8", around)
    if not held.is_full:
        words = f"{held.trained:,} numbers × 4 bytes, twice: what it is, and what it began with"
        yield _scaled("adapter", "Adapter", held.adapter, words, around)
    yield _scaled("gradients", "Gradients", held.gradients, f"{held.trained:,} trained numbers × 4 bytes", around)
    words = f"{held.trained:,} trained numbers × {significant(held.state)} bytes"
    words += f", and {in_bytes(moving)} while the largest weight is moved" if moving else ""
    yield _scaled("optimiser", "Optimiser", held.state * held.trained + moving, words, around)


def _weight_words(held: Held) -> str:
    if held.quantised:
        rest = f"{held.parameters - held.quantised:,} others × {held.number} bytes"
        file = f"{held.parameters:,} weights × {held.number} bytes in the base's file, which stays mapped"
        return f"{held.quantised:,} weights × 4 bits / 8 + {file if held.file else rest}"
    masters = " + 4 bytes for float32 masters" if held.masters else ""
    return f"{held.parameters:,} weights × {held.number} bytes{masters}"


def _scaled(key: str, label: str, size: float, words: str, around: tuple[float, float]) -> Part:
    return _part(key, label, size, words, (size * around[0], size * around[1]))


def _part(key: str, label: str, size: float, words: str, span: tuple[float, float]) -> Part:
    low, high = min(size, max(0.0, span[0])), max(size, span[1])
    return Part(key, label, round(size), round(low), round(high), f"{words} = {in_bytes(size)}")
