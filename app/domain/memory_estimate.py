"""How much memory a run takes, part by part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from app.domain.precisions import PRECISIONS, weights_bytes

if TYPE_CHECKING:
    from app.domain.architectures import Architecture
    from app.domain.specs import TrainingSettings

GIGA = 1e9
CONTEXT_BYTES = 600_000_000
"""What a GPU's driver and libraries hold before anything is loaded."""
MARGIN = 0.1
"""Of everything else: what an allocator keeps in pieces that fit nothing."""
KEPT_PER_LAYER = 16
"""Values of a token's width that a layer keeps for the gradient, beside three of its inner width."""
Fits = Literal["yes", "tight", "no", "unknown"]


class Work(BaseModel):
    """What a run computes: rows, optimiser steps and the lengths of rows in tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int
    steps: int
    mean_tokens: float
    longest_tokens: int
    trained_share: float = 0.5
    computed_share: float = 1.0
    eval_rows: int = 0


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


def estimate_memory(
    arch: Architecture, settings: TrainingSettings, work: Work, accelerator_kind: Literal["cpu", "gpu"], capacity: int | None
) -> MemoryEstimate:
    """Return what a run takes on a device of a kind that has `capacity` bytes (None: not known)."""
    micro = settings.batch_size if settings.micro_batch_size == "auto" else min(settings.micro_batch_size, settings.batch_size)
    twice = 0 if settings.gradient_checkpointing == "auto" else min(settings.gradient_checkpointing, arch.layers)
    tokens = micro * min(work.longest_tokens, settings.max_length)
    parts = [*_weights(arch, settings), *_trained(arch, settings), *_activations(arch, tokens, twice)]
    if accelerator_kind == "gpu":
        parts.append(_part("context", "Driver and libraries", CONTEXT_BYTES, "0.6 GB, whatever is trained", 0.3))
    known = sum(part.bytes for part in parts)
    parts.append(_part("margin", "Fragmentation", known * MARGIN, f"{MARGIN:.0%} of the {known / GIGA:.2f} GB above", 0.8))
    return summed(tuple(parts), capacity, micro, twice)


def _part(key: str, label: str, size: float, arithmetic: str, spread: float = 0.0) -> Part:
    return Part(key, label, round(size), round(size * (1 - spread)), round(size * (1 + spread)), f"{arithmetic} = {size / GIGA:.2f} GB")


def _weights(arch: Architecture, settings: TrainingSettings) -> list[Part]:
    if settings.tuning != "qlora":
        bits = 32 if settings.tuning == "full" else 16
        return [_part("weights", "Weights", arch.parameters * bits / 8, f"{arch.parameters:,} weights × {bits} bits / 8")]
    size = weights_bytes(arch.parameters, "nf4_dq", embedding_parameters=arch.embedding_parameters)
    quantised = arch.parameters - arch.embedding_parameters
    scales = quantised * PRECISIONS["nf4_dq"].scale_bits / 8
    words = f"{quantised:,} weights × 4 bits / 8 + {arch.embedding_parameters:,} of embeddings × 16 bits / 8"
    return [
        _part("weights", "Weights", size - scales, words),
        _part("quantisation", "Quantisation constants", scales, f"{quantised:,} weights × {PRECISIONS['nf4_dq'].scale_bits:.3f} bits / 8"),
    ]


def _trained(arch: Architecture, settings: TrainingSettings) -> list[Part]:
    is_full = settings.tuning == "full"
    trained = arch.parameters if is_full else arch.lora_parameters(settings.rank, dora=settings.adapter == "dora")
    state = 2 if "8bit" in settings.optimiser else 8
    adapter = [] if is_full else [_part("adapter", "Adapter", trained * 4, f"{trained:,} parameters × 4 bytes")]
    return [
        *adapter,
        _part("gradients", "Gradients", trained * 4, f"{trained:,} parameters × 4 bytes"),
        _part("optimiser", "Optimiser", trained * state, f"{trained:,} parameters × {state} bytes"),
    ]


def _activations(arch: Architecture, tokens: int, twice: int) -> list[Part]:
    each = 2 * (KEPT_PER_LAYER * arch.hidden + 3 * arch.intermediate)
    kept = tokens * (each * (arch.layers - twice + min(twice, 1)) + twice * 2 * arch.hidden)
    words = f"{tokens:,} tokens × {each:,} bytes × {arch.layers - twice + min(twice, 1)} layers, and {twice} layers' inputs"
    logits = tokens * arch.vocabulary * 4
    return [
        _part("activations", "Activations", kept, words, 0.3),
        _part("logits", "Logits", logits, f"{tokens:,} tokens × {arch.vocabulary:,} words × 4 bytes", 0.5),
    ]
