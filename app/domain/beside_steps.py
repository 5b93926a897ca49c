"""What a run takes beside the operations of its steps: to begin, to begin each layer, and to answer held-out rows at its checks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from app.domain.spans import Span

if TYPE_CHECKING:
    from app.domain.accelerators import DeviceKind
    from app.domain.architectures import Architecture
    from app.domain.packs import Work

ANSWERED_ROWS, ROWS_AT_ONCE, MARGIN_TOKENS = 128, 32, 16
"""Rows that a check has answered at most, how many at once, and how far beyond the right answer one may go
(workers/training/evaluate.py)."""


class Answers(NamedTuple):
    """What all checks of a run would take if each row were answered to its end: operations, and layers begun."""

    flops: float = 0.0
    passes: float = 0.0


class Beside(NamedTuple):
    """What a kind of device takes beside operations, in seconds.

    `startup`: from the claim to the first step. `layer`: for each begun in a step, forward and back. `answering`: for each begun in an
    answer. `answered`: the share of answers that are written to their end.
    """

    startup: Span
    layer: Span
    answering: Span
    answered: Span


NO_TIME = Span.exactly(0.0)
ON_GPU = Beside(Span(60.0, 10.0, 180.0), NO_TIME, Span.exactly(0.0005), Span(0.0, 0.0, 1.0))
"""Nobody has measured it: loading libraries and weights, looking at the rows. Answers are in what it takes at most alone, since most wrong
ones end after a token or two and those that are known from the loss are not asked for."""
ON_CPU = Beside(Span(5.0, 0.5, 40.0), Span(0.003, 0.0005, 0.02), Span(0.0015, 0.0003, 0.012), Span(0.5, 0.0, 1.0))
"""Measured on two cores: 0.8 s to the first step with a trainer at hand, 6.3 s without one, 29 s beside ten other busy processes;
a check of 120 e-mails by the starter beside those 14 to 19 s, and a step of eight 0.7 s."""


def beside_of(kind: DeviceKind) -> Beside:
    """Return what a kind of device takes beside operations."""
    return ON_GPU if kind == "gpu" else ON_CPU


def answers_of(arch: Architecture, work: Work, checks: float, forward: float) -> Answers:
    """Return what the answers of all checks take at most, at so many operations for a token on its way forward."""
    rows = min(ANSWERED_ROWS, work.eval_rows)
    tokens = work.mean_tokens * work.trained_share + MARGIN_TOKENS
    return Answers(
        checks * rows * (work.mean_tokens + MARGIN_TOKENS) * forward, checks * math.ceil(rows / ROWS_AT_ONCE) * tokens * arch.layers
    )


def answer_seconds(answers: Answers, rates: Span, beside: Beside) -> Span:
    """Return the seconds of answers at so many operations a second, likely, at least and at most."""
    wholes = (
        answers.flops / rate + answers.passes * layer
        for rate, layer in zip((rates.likely, rates.high, rates.low), beside.answering, strict=True)
    )
    return Span(*(whole * share for whole, share in zip(wholes, beside.answered, strict=True)))
