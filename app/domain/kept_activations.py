"""What a layer keeps of one token until its gradient is made: counted from the trainer's own passes, tensor by tensor.

The trainer counts the same before its first step by looking (workers/training/memory_plan.py); here nothing is loaded, so it is worked
out from the base's measures. A test holds both against each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.domain.model_layers import FAMILIES, Traits

if TYPE_CHECKING:
    from app.domain.architectures import Architecture
    from app.domain.specs import TrainingSettings

FLOAT = 4
SCORES_AT_ONCE, LONG, LEAST_QUERIES = 131_072, 192, 64
"""How attention is cut into blocks on a CPU (workers/training/plan.py)."""
KEPT_KEYS = 2_048
"""Blocks with more keys keep no probabilities (workers/training/attention.py)."""


def is_fast(settings: TrainingSettings) -> bool:
    """Return whether layers run the trainer's own passes; dropout and DoRA go peft's way, and full tuning the architecture's."""
    return settings.tuning != "full" and settings.adapter == "lora" and not settings.dropout


def token_bytes(arch: Architecture, settings: TrainingSettings, number: int) -> float:
    """Return the bytes that one layer keeps of one token, where products are computed in numbers of so many bytes."""
    traits = FAMILIES.get(arch.family, Traits())
    parts = _attention(arch, traits, settings, number) + _norms(arch, traits, settings, number)
    return parts + _network(arch, traits, settings, number) + _adapters(arch, settings, number)


def seen_bytes(arch: Architecture, length: float, number: int, *, is_cpu: bool) -> float:
    """Return the bytes one layer keeps of one token's attention to the others of a row of so many tokens; a GPU keeps none."""
    return arch.heads * number * seen_keys(length) if is_cpu else 0.0


def seen_keys(length: float) -> float:
    """Return how many keys a token of a row keeps its probabilities of, on average: short rows are one block, long ones are cut."""
    whole = round(length)
    if whole <= LONG:
        return float(whole)
    step = max(LEAST_QUERIES, SCORES_AT_ONCE // whole)
    ends = [(start, min(start + step, whole)) for start in range(0, whole, step)]
    return sum((end - start) * end for start, end in ends if end <= KEPT_KEYS) / whole


def working_bytes(arch: Architecture, number: int) -> float:
    """Return the bytes in hand for one token while a layer's gradient is made: of its gate, what rises and their product, and of states."""
    return number * (3 * _width(arch) + 3 * arch.hidden)


def _attention(arch: Architecture, traits: Traits, settings: TrainingSettings, number: int) -> float:
    """Queries, keys, values, what was taken of them, and one number for each head; norms of heads keep what they were given."""
    asked, held = arch.heads * arch.head_dim, arch.kv_heads * arch.head_dim
    kept = (2 * asked + 2 * held) * number + FLOAT * arch.heads
    if traits.fused:  # values stay where the one matrix has put all three
        kept += (asked + held) * number
    if traits.head_norms:
        kept += (asked + held) * _norm(arch, settings, number) + FLOAT * (arch.heads + arch.kv_heads)
    return kept


def _norms(arch: Architecture, traits: Traits, settings: TrainingSettings, number: int) -> float:
    """What norms of the model's width keep, and what two of them give, where the layers behind keep it as it is."""
    given = number * arch.hidden
    own = traits.norms * (arch.hidden * _norm(arch, settings, number) + FLOAT)
    return own + (2 * given if settings.tuning == "full" or _keeps_inputs(settings, number) else 0)


def _norm(arch: Architecture, settings: TrainingSettings, number: int) -> int:
    """Return what a norm keeps of one number: what it was given; where its weight learns, in float32, and what it made of that too."""
    if settings.tuning != "full":
        return number
    return FLOAT + (FLOAT if arch.family.startswith("gemma") else number)  # Gemma's multiply in float32


def _network(arch: Architecture, traits: Traits, settings: TrainingSettings, number: int) -> float:
    """The gate, what rises and their product; beside these the opened gate where the activation is not computed again."""
    if is_fast(settings) and not (traits.fused or arch.experts):
        return 3 * _width(arch) * number
    parts = 4 if settings.tuning == "full" or is_fast(settings) or _keeps_inputs(settings, number) else 3
    gathered = 2 * arch.active_experts * arch.hidden if arch.experts else 0
    return (parts * _width(arch) + gathered) * number


def _adapters(arch: Architecture, settings: TrainingSettings, number: int) -> float:
    """What adapters keep beside their input: a few numbers, or with peft's own layers copies in float32."""
    if settings.tuning == "full":
        return 0.0
    layers = arch.layers
    many = sum(linear.copies for linear in arch.linears) / layers
    inputs = sum(linear.inputs * linear.copies for linear in arch.linears) / layers
    outputs = sum(linear.outputs * linear.copies for linear in arch.linears) / layers
    if is_fast(settings):
        return settings.rank * many * number
    if settings.adapter == "dora":  # the input widened, what the base gave and what the adapter gave
        return (inputs * FLOAT if number < FLOAT else 0) + outputs * (FLOAT + number) + settings.rank * many * FLOAT
    return inputs * 2 * FLOAT + settings.rank * many * FLOAT  # what was dropped, and what was left


def _keeps_inputs(settings: TrainingSettings, number: int) -> bool:
    return is_fast(settings) or (settings.adapter == "dora" and number == FLOAT)


def _width(arch: Architecture) -> float:
    """Return how wide the network between a layer's states is for one token, of experts those that it is sent to."""
    return arch.active_experts * arch.expert_intermediate + arch.shared_intermediate if arch.experts else arch.intermediate
