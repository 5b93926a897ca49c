"""Whether two trainers have trained the same thing: a speed is only compared where losses and gradients agree."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Tolerance:
    """How far apart two sides may be, relatively."""

    first_loss: float
    curve: float
    gradient_norm: float


TOLERANCES = {"bf16": Tolerance(2e-3, 1e-2, 5e-2), "fp32": Tolerance(1e-5, 1e-3, 1e-3)}
"""In bf16 a product is rounded to three digits, and both sides round in other places."""


def parity(ours: Sequence[dict[str, Any]], peers: Sequence[dict[str, Any]], precision: str) -> dict[str, Any]:
    """Return how far the curves of two sides are apart in the worst of their repeats, and whether the precision excuses that."""
    pairs = list(zip(ours, peers, strict=True))
    losses = [apart(one["losses"], other["losses"]) for one, other in pairs]
    norms = [apart(one["gradient_norms"], other["gradient_norms"]) for one, other in pairs]
    apart_by = {"first_loss": [curve[0] for curve in losses], "curve": [*chain(*losses)], "gradient_norm": [*chain(*norms)]}
    allowed = asdict(TOLERANCES[precision])
    # Each by itself: beside a number that is none, a maximum is whichever comes first.
    holds = all(value <= allowed[name] for name, values in apart_by.items() for value in values)
    return {name: max(values, default=None) for name, values in apart_by.items()} | {"holds": holds}


def apart(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Return the relative differences of two curves, step by step; curves of unlike length are no curves of the same steps."""
    return [abs(one - other) / max(abs(other), 1e-9) for one, other in zip(ours, theirs, strict=True)]
