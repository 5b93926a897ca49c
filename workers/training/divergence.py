"""Noticing that a run has lost its way: a loss that is no number, or one that has left every bound and does not come back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.domain.errors import StudioError
from workers.training.prepare import ROWS_NAMED, row_names

if TYPE_CHECKING:
    from collections.abc import Sequence

FIRST_STEPS = 5
"""So many steps say what the loss is like in the beginning."""
TIMES_AS_HIGH = 10.0
NATS_ABOVE_CHANCE = 5.0
PATIENCE = 5
"""So many steps in a row must be beyond the limit: one bad batch is no divergence."""
SHARE_OF_CHANCE = 0.5
"""With a loss above this share of what guessing gives there is something left to learn."""


class Diverged(StudioError):
    """The loss or its gradient is no number any more, or far beyond what not knowing anything would give."""

    kind, status, default_code = "invalid_request_error", 422, "diverged"


@dataclass
class Divergence:
    """Looks at every step's loss."""

    vocabulary: int
    first_losses: list[float]
    """Of the first steps; part of a checkpoint, so that a resumed run has the same limit."""
    beyond: int = 0
    """Steps in a row beyond the limit."""
    dead: int = 0
    """Steps in a row with much to learn and no gradient at all."""

    @property
    def steps_astray(self) -> int:
        """Return how many steps in a row were such as a run diverges by."""
        return max(self.beyond, self.dead)

    def look(self, step: int, loss: float, gradient_norm: float, rows: Sequence[int]) -> None:
        """Raise Diverged when for several steps the loss has been beyond the limit, or nothing could be learnt."""
        self.dead = self.dead + 1 if gradient_norm == 0.0 and loss > SHARE_OF_CHANCE * math.log(self.vocabulary) else 0
        if self.dead >= PATIENCE:
            message = (
                f"Since step {step - PATIENCE + 1} nothing is learnt any more: the gradient is zero and the loss {loss:.1f} nats a token, "
                f"so a step was far too large (rows {row_names(rows)} at step {step}). Lower the learning rate."
            )
            raise Diverged(message, data={"rows": list(rows[:ROWS_NAMED])})
        if len(self.first_losses) < FIRST_STEPS:
            self.first_losses.append(loss)
            return
        limit = max(TIMES_AS_HIGH * sum(self.first_losses) / FIRST_STEPS, math.log(self.vocabulary) + NATS_ABOVE_CHANCE)
        self.beyond = self.beyond + 1 if loss > limit else 0
        if self.beyond < PATIENCE:
            return
        message = (
            f"Since step {step - PATIENCE + 1} the loss is beyond {limit:.1f} nats a token, and {loss:.1f} at step {step} "
            f"(rows {row_names(rows)}). Lower the learning rate, or look at these rows."
        )
        raise Diverged(message, data={"rows": list(rows[:ROWS_NAMED])})


def check_numbers(step: int, loss: float, gradient_norm: float, rows: Sequence[int]) -> None:
    """Raise Diverged unless both are numbers."""
    if not (math.isfinite(loss) and math.isfinite(gradient_norm)):
        what = "gradient" if math.isfinite(loss) else "loss"
        message = f"Step {step}: the {what} is no number any more (rows {row_names(rows)}). Lower the learning rate, or look at these rows."
        raise Diverged(message, data={"rows": list(rows[:ROWS_NAMED])})
