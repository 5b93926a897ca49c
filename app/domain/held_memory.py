"""What a run holds from its first step to its last: the base's weights, what is trained, and what the optimiser remembers of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from app.domain.kept_activations import is_fast
from app.domain.precisions import PRECISIONS

if TYPE_CHECKING:
    from app.domain.accelerators import Unit
    from app.domain.architectures import Architecture
    from app.domain.specs import TrainingSettings

FLOAT = 4
NARROW = 128
"""Narrower bases gain nothing by bf16 on a processor, so `auto` takes float32 (workers/training/precision.py)."""
ADAM, ADAM_8BIT = 8.0, 2.0 + 2 * 4 / 256
"""Bytes of AdamW's state for a weight: two float32, or two bytes and their share of two scales for each 256 (bitsandbytes)."""
MOVING_8BIT = 32
"""Bytes for each number of the largest weight while a processor moves it with 8-bit state: bitsandbytes unpacks both states, widens
gradient and weight and packs the states again, all in float32 (measured: eight numbers each)."""


class Held(NamedTuple):
    """Bytes of a run, whatever is computed at once."""

    number: int
    """Of one number of a product."""
    parameters: int
    quantised: int
    masters: int
    file: int
    """A processor reads four-bit weights out of a file that stays mapped, since embeddings are used as they lie in it."""
    trained: int
    state: float
    """For each trained number."""
    moving: float
    """While the optimiser moves the largest weight."""
    unpacked: float
    """A four-bit weight while it is multiplied."""
    cast: float
    """Adapters in the type of the products, which fast layers keep until the gradient."""
    is_full: bool

    @property
    def weights(self) -> float:
        """The base's, packed or not, and float32 copies of them where these are trained."""
        return max(self.file, (self.parameters - self.quantised) * self.number) + self.codes + self.masters

    @property
    def codes(self) -> float:
        """Four-bit codes, without their scales."""
        return self.quantised / 2

    @property
    def scales(self) -> float:
        """The scales of four-bit codes."""
        return self.quantised * PRECISIONS["nf4_dq"].scale_bits / 8

    @property
    def adapter(self) -> float:
        """What is trained beside the base, and what it began with, until the base was checked."""
        return 0.0 if self.is_full else 2.0 * FLOAT * self.trained

    @property
    def gradients(self) -> float:
        """In float32 in any case."""
        return float(FLOAT * self.trained)

    @property
    def static(self) -> float:
        """All of it but gradients, which come and go."""
        return self.weights + self.scales + self.adapter + self.state * self.trained


def number_bytes(arch: Architecture, settings: TrainingSettings, unit: Unit) -> int:
    """Return the bytes of a number in products; `auto` is taken to be bf16 wherever it may be."""
    if settings.precision == "auto":
        return FLOAT if unit == "cpu" and arch.hidden < NARROW else 2
    return 2 if settings.precision == "bf16" else FLOAT


def held_by(arch: Architecture, settings: TrainingSettings, unit: Unit) -> Held:
    """Return what a run holds on a kind of device."""
    number, is_full = number_bytes(arch, settings, unit), settings.tuning == "full"
    quantised = arch.linear_parameters if settings.tuning == "qlora" else 0
    trained = arch.text_parameters if is_full else arch.lora_parameters(settings.rank, dora=settings.adapter == "dora")
    in_8_bits = "8bit" in settings.optimiser or (settings.optimiser == "auto" and settings.tuning == "qlora" and unit == "gpu")
    largest = max((linear.inputs * linear.outputs for linear in arch.linears), default=0)
    moved = max(largest, arch.vocabulary * arch.hidden) if is_full else settings.rank * max(arch.hidden, arch.intermediate)
    return Held(
        number=number,
        parameters=arch.parameters,
        quantised=quantised,
        masters=FLOAT * trained if is_full and number < FLOAT else 0,
        file=number * arch.parameters if quantised and unit == "cpu" and number < FLOAT else 0,
        trained=trained,
        state=ADAM_8BIT if in_8_bits else ADAM,
        moving=float(MOVING_8BIT * moved) if in_8_bits and unit == "cpu" else 0.0,
        unpacked=2.0 * largest * number if quantised else 0.0,
        cast=float(number * trained) if is_fast(settings) else 0.0,
        is_full=is_full,
    )
