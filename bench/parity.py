"""Whether two trainers have trained the same thing: a speed is only compared where losses and gradients agree."""

from __future__ import annotations

from dataclasses import dataclass
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


def parity(ours: dict[str, Any], peer: dict[str, Any], precision: str) -> dict[str, Any]:
    """Return how far two curves are apart, and whether that is within what the precision excuses."""
    allowed = TOLERANCES[precision]
    losses = apart(ours["losses"], peer["losses"])
    norms = apart(ours["gradient_norms"], peer["gradient_norms"])
    return {
        "first_loss": losses[0],
        "curve": max(losses),
        "gradient_norm": max(norms, default=None),
        "holds": losses[0] <= allowed.first_loss and max(losses) <= allowed.curve and max(norms, default=0.0) <= allowed.gradient_norm,
    }


def apart(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Return the relative differences of two curves, step by step; curves of unlike length are no curves of the same steps."""
    return [abs(one - other) / max(abs(other), 1e-9) for one, other in zip(ours, theirs, strict=True)]
