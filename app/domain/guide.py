"""How many examples are enough for what one wants: figures people have come by, not laws."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Goal(StrEnum):
    """What the tuned model is to be good for."""

    STYLE = "style"
    FORMAT = "format"
    DOMAIN = "domain"
    REPLACE = "replace"
    MASK = "mask"
    CODE = "code"
    DISTIL = "distil"


class Enough(NamedTuple):
    """A goal in words, and between which numbers of examples it is mostly reached."""

    title: str
    low: int
    high: int

    @property
    def about(self) -> str:
        """The numbers as one says them."""
        return f"about {self.low:,}" if self.low == self.high else f"{self.low:,} to {self.high:,}"


class Advice(NamedTuple):
    """What the number of rows comes to for a goal; `tone` is ok, wait or bad."""

    goal: Goal
    verdict: str
    sentence: str
    tone: str
    share: float


NEEDED = {
    Goal.FORMAT: Enough("An exact output format", 500, 500),
    Goal.STYLE: Enough("A consistent style", 500, 1_000),
    Goal.DOMAIN: Enough("Knowledge of a domain", 1_000, 5_000),
    Goal.REPLACE: Enough("Replace a large prompted model", 1_000, 5_000),
    Goal.MASK: Enough("Mask personal data", 500, 1_000),
    Goal.CODE: Enough("Complete code", 1_000, 5_000),
    Goal.DISTIL: Enough("Learn from a large model's answers", 1_000, 5_000),
}
"""The first four are rules of thumb that people have come by; masking follows the exact format, code and distilling follow the domain."""
FEW = 50
"""Up to about here the examples do more inside a prompt."""


def advise(goal: Goal, rows: int) -> Advice:
    """Return what so many rows come to for a goal."""
    needed = NEEDED[goal]
    share = min(1.0, rows / needed.low)
    if rows <= FEW:
        examples, best = ("1 example", "put it") if rows == 1 else (f"{rows:,} examples", "put the best of them")
        sentence = f"With {examples}, try few-shot prompting first: {best} into the prompt."
        return Advice(goal, "Few", sentence, "bad", share)
    if rows < needed.low:
        sentence = f"{rows:,} of {needed.about}: a run will show something, and more good rows will show more."
        return Advice(goal, "Not yet", sentence, "wait", share)
    if rows < needed.high:
        return Advice(goal, "Enough to begin", f"{rows:,} of {needed.about}: enough to begin with.", "ok", share)
    sentence = f"{rows:,} of {needed.about}: enough. From here on better rows help more than further ones."
    return Advice(goal, "Enough", sentence, "ok", share)


def likely_goal(*, is_text: bool, has_labels: bool, mean_answer_tokens: float | None) -> Goal:
    """Return what a dataset of this kind is mostly for, to begin with; a person chooses."""
    if is_text:
        return Goal.DOMAIN
    if has_labels or (mean_answer_tokens is not None and mean_answer_tokens < SHORT_ANSWER_TOKENS):
        return Goal.FORMAT
    return Goal.STYLE


SHORT_ANSWER_TOKENS = 40
"""Answers as short as this are mostly labels or small objects."""
