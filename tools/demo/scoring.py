"""How an answer to a support e-mail is judged: by the demo and by the benchmark alike.

Right is an answer that is a JSON object and names the right intent. Whatever cannot be read is wrong; urgency is told beside it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Verdict:
    """What was right about one answer."""

    is_json: bool
    intent: bool
    urgency: bool


@dataclass(frozen=True)
class Score:
    """How many of a model's answers were right."""

    rows: int
    right: int
    urgency: int
    unreadable: int

    @property
    def share_right(self) -> float:
        """Return the share of valid JSON with the right intent."""
        return self.right / self.rows

    @property
    def share_urgency(self) -> float:
        """Return the share of valid JSON with the right urgency."""
        return self.urgency / self.rows

    @property
    def share_unreadable(self) -> float:
        """Return the share that is no JSON object."""
        return self.unreadable / self.rows


def fields_of(answer: str) -> dict[str, Any] | None:
    """Return an answer's fields, or None when it is no JSON object."""
    try:
        found = json.loads(answer)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def judge(expected: str, answer: str) -> Verdict:
    """Hold an answer against the expected one."""
    wanted, given = fields_of(expected) or {}, fields_of(answer)
    if given is None:
        return Verdict(is_json=False, intent=False, urgency=False)
    return Verdict(
        is_json=True, intent=given.get("intent") == wanted["intent"], urgency=given.get("urgency") == wanted["urgency"]
    )  # fmt: skip


def score(expected: Sequence[str], answers: Sequence[str]) -> Score:
    """Judge all answers of a model."""
    verdicts = [judge(*pair) for pair in zip(expected, answers, strict=True)]
    return Score(
        rows=len(verdicts), right=sum(verdict.intent for verdict in verdicts), urgency=sum(verdict.urgency for verdict in verdicts),
        unreadable=sum(not verdict.is_json for verdict in verdicts),
    )  # fmt: skip
